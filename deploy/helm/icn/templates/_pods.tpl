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

{{/* icn.podSpec (dict root values): scheduling and pulling; who may ask Kubernetes mounts icn.accountVolume. */}}
{{- define "icn.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "icn.podSecurity" . | nindent 2 }}
{{- end -}}

{{/* icn.container (list root image): image, what confines it, and why it ended: what it left, else its last lines. */}}
{{- define "icn.container" -}}
image: {{ include "icn.image" . }}
imagePullPolicy: {{ (index . 0).Values.images.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext: {{- include "icn.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* icn.secretValue (list variable secret key) */}}
{{- define "icn.secretValue" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 2 }}}}
{{- end -}}

{{/* icn.natsPasswordVolume secret: mounted, since a process reads it again whenever it connects. */}}
{{- define "icn.natsPasswordVolume" -}}
- name: nats-password
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items: [{key: nats-password, path: nats-password}]
{{- end -}}

{{/* icn.commonEnvironment (dict root prefix port): settings that every process of ours has. */}}
{{- define "icn.commonEnvironment" -}}
- {name: GRPC_EXPERIMENTS, value: "-event_engine_client,-event_engine_listener"}
- {name: {{ .prefix }}_METRICS_HOST, value: "0.0.0.0"}
- {name: {{ .prefix }}_METRICS_PORT, value: {{ .port | quote }}}
{{- with .root.Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "service.namespace={{ include "icn.fullname" $.root }}"}
{{- end }}
{{- end -}}

{{- define "icn.tlsEnvironment" -}}
- {name: {{ . }}_TLS_CERTIFICATE, value: /run/tls/tls.crt}
- {name: {{ . }}_TLS_KEY, value: /run/tls/tls.key}
- {name: {{ . }}_TLS_AUTHORITY, value: /run/tls/ca.crt}
{{- end -}}

{{/* icn.probes port-name: be ready when healthy, be restarted when the event loop does not answer. What takes its state
     from others, or has stopped at a block and says why, is not healthy and must not be restarted. */}}
{{- define "icn.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
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

{{/* icn.consensusEnvironment (list root seat secret): the settings of a seat's consensus. */}}
{{- define "icn.consensusEnvironment" -}}
{{- $root := index . 0 -}}
{{- $seat := index . 1 -}}
{{- $secret := index . 2 -}}
{{ include "icn.commonEnvironment" (dict "root" $root "prefix" "ICN_CONSENSUS" "port" 9101) }}
{{ include "icn.tlsEnvironment" "ICN_CONSENSUS" }}
- {name: ICN_CONSENSUS_GENESIS, value: /run/genesis/genesis.json}
- {name: ICN_CONSENSUS_KEY_FILE, value: /run/consensus-key/consensus.json}
- {name: ICN_CONSENSUS_RECORD_DIRECTORY, value: /var/lib/icn/record}
- {name: ICN_CONSENSUS_APPLICATION_ADDRESS, value: "unix:/run/icn/ledger.sock"}
- {name: ICN_CONSENSUS_ADDRESS, value: "0.0.0.0:7001"}
- name: ICN_CONSENSUS_PEERS
  value: {{ include "icn.peers" (list $root $seat) | quote }}
{{ include "icn.secretValue" (list "ICN_CONSENSUS_DATABASE_URL" $secret "consensus-database-url") }}
{{- end -}}

{{/* icn.accountVolume: what the container that asks Kubernetes mounts; the others of its pod do not. */}}
{{- define "icn.accountVolume" -}}
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}
