{{/* icn.service (dict root name): a stateless service, with everything that belongs to it. */}}
{{- define "icn.service" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $values := get $root.Values.services $name -}}
{{- $part := list $root $name -}}
{{- $isGateway := eq $name "gateway" -}}
{{- $prefix := printf "ICN_%s" (upper $name) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "icn.name" $part }}
  labels: {{- include "icn.labels" $part | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- else }}
  {{- /* Left out where there was a number, it would be 1 until the autoscaler looks. */}}
  {{- with lookup "apps/v1" "Deployment" $root.Release.Namespace (include "icn.name" $part) }}
  replicas: {{ int .spec.replicas }}
  {{- end }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "icn.selector" $part | nindent 6 }}
  template:
    metadata:
      labels: {{- include "icn.labels" $part | nindent 8 }}
    spec:
      {{- include "icn.podSpec" (dict "root" $root "values" $values) | nindent 6 }}
      serviceAccountName: {{ include "icn.name" $part }}
      terminationGracePeriodSeconds: 45
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "icn.selector" $part | nindent 14 }}
      initContainers:
        - name: migrate
          {{- include "icn.container" $part | nindent 10 }}
          command: [/opt/icn/venv/bin/python, -m, icn_kit.migrate, icn_{{ $name }}]
          env:
            {{- include "icn.secretValue" (list (printf "%s_DATABASE_URL" $prefix) (include "icn.secret" $part) "database-url") | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: tls, mountPath: /run/tls, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      containers:
        - name: {{ $name }}
          {{- include "icn.container" $part | nindent 10 }}
          env:
            {{- include "icn.commonEnvironment" (dict "root" $root "prefix" $prefix "port" 9100) | nindent 12 }}
            {{- include "icn.tlsEnvironment" $prefix | nindent 12 }}
            - {name: {{ $prefix }}_GENESIS, value: /run/genesis/genesis.json}
            - name: {{ $prefix }}_VALIDATORS
              value: {{ include "icn.validators" $root | quote }}
            - name: {{ $prefix }}_SERVICES
              value: {{ include "icn.services" $root | quote }}
            - {name: {{ $prefix }}_NATS_URL, value: {{ include "icn.natsUrl" $root | quote }}}
            - {name: {{ $prefix }}_NATS_USER, value: {{ $name }}}
            - {name: {{ $prefix }}_NATS_PASSWORD_FILE, value: /run/nats/nats-password}
            {{- include "icn.secretValue" (list (printf "%s_DATABASE_URL" $prefix) (include "icn.secret" $part) "database-url") | nindent 12 }}
            {{- if $isGateway }}
            - {name: {{ $prefix }}_HOST, value: "0.0.0.0"}
            - {name: {{ $prefix }}_PORT, value: "8080"}
            - name: {{ $prefix }}_ORIGINS
              value: {{ $values.origins | toJson | quote }}
            {{- if $root.Values.tracing.endpoint }}
            - {name: {{ $prefix }}_TRACE_RATIO, value: {{ $root.Values.tracing.ratio | quote }}}
            {{- end }}
            - {name: {{ $prefix }}_TRUSTED_PROXY_HOPS, value: {{ $values.trustedProxyHops | quote }}}
            {{- else }}
            - {name: {{ $prefix }}_ADDRESS, value: "0.0.0.0:7100"}
            - {name: {{ $prefix }}_NATS_STREAM_REPLICAS, value: {{ $root.Values.nats.streamReplicas | quote }}}
            - {name: {{ $prefix }}_SEALING_KEY_FILE, value: /run/sealing/sealing.key}
            {{- end }}
            {{- if eq $name "identity" }}
            - {name: {{ $prefix }}_DOMAIN, value: {{ $values.domain | quote }}}
            {{- end }}
            {{- include "icn.environment" $values | trim | nindent 12 }}
          ports:
            - {name: {{ ternary "http" "grpc" $isGateway }}, containerPort: {{ ternary 8080 7100 $isGateway }}}
            - {name: metrics, containerPort: 9100}
          {{- include "icn.probes" "metrics" | nindent 10 }}
          lifecycle:
            preStop: {sleep: {seconds: 5}}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: genesis, mountPath: /run/genesis, readOnly: true}
            - {name: tls, mountPath: /run/tls, readOnly: true}
            - {name: nats-password, mountPath: /run/nats, readOnly: true}
            {{- if not $isGateway }}
            - {name: sealing, mountPath: /run/sealing, readOnly: true}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: genesis
          configMap: {name: {{ include "icn.genesisConfigMap" $root | quote }}}
        - name: tls
          secret: {secretName: {{ include "icn.tlsSecret" $part | quote }}, defaultMode: 0440}
        {{- include "icn.natsPasswordVolume" (include "icn.secret" $part) | nindent 8 }}
        {{- if not $isGateway }}
        - name: sealing
          secret:
            secretName: {{ include "icn.secret" $part | quote }}
            defaultMode: 0440
            items: [{key: sealing.key, path: sealing.key}]
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: 256Mi}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "icn.name" $part }}
  labels: {{- include "icn.labels" $part | nindent 4 }}
spec:
  {{- if $isGateway }}
  type: {{ $values.service.type }}
  {{- end }}
  selector: {{- include "icn.selector" $part | nindent 4 }}
  ports:
    {{- if $isGateway }}
    - {name: http, port: {{ $values.service.port }}, targetPort: http}
    {{- else }}
    - {name: grpc, port: 7100, targetPort: grpc}
    {{- end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "icn.name" $part }}
  labels: {{- include "icn.labels" $part | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "icn.name" $part }}
  labels: {{- include "icn.labels" $part | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "icn.selector" $part | nindent 6 }}
{{- if $values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "icn.name" $part }}
  labels: {{- include "icn.labels" $part | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "icn.name" $part }}}
  minReplicas: {{ $values.replicas }}
  maxReplicas: {{ $values.autoscaling.replicasMax }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $values.autoscaling.cpuPercent }}}
{{- end }}
{{- end -}}
