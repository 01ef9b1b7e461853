{{/* What all pods have in common. */}}

{{- define "icn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "icn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* icn.podSpec (dict root values): scheduling and pulling; no pod but the roller talks to Kubernetes. */}}
{{- define "icn.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "icn.podSecurity" . | nindent 2 }}
{{- end -}}

{{/* icn.container (list root image): image and what confines it. */}}
{{- define "icn.container" -}}
image: {{ include "icn.image" . }}
imagePullPolicy: {{ (index . 0).Values.images.pullPolicy }}
securityContext: {{- include "icn.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* icn.secretValue (list variable secret key) */}}
{{- define "icn.secretValue" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{- end -}}

{{/* icn.commonEnvironment (dict prefix natsUser port): settings that every process of ours has. */}}
{{- define "icn.commonEnvironment" -}}
- {name: GRPC_EXPERIMENTS, value: "-event_engine_client,-event_engine_listener"}
- {name: {{ .prefix }}_METRICS_HOST, value: "0.0.0.0"}
- {name: {{ .prefix }}_METRICS_PORT, value: {{ .port | quote }}}
{{- end -}}

{{- define "icn.tlsEnvironment" -}}
- {name: {{ . }}_TLS_CERTIFICATE, value: /run/tls/tls.crt}
- {name: {{ . }}_TLS_KEY, value: /run/tls/tls.key}
- {name: {{ . }}_TLS_AUTHORITY, value: /run/tls/ca.crt}
{{- end -}}

{{/* icn.probes port-name: start slowly, be ready when healthy, be restarted when the event loop does not answer. */}}
{{- define "icn.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
readinessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- end -}}

{{/* icn.environment values: what the operator adds. */}}
{{- define "icn.environment" -}}
{{- range $name, $value := .environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}
