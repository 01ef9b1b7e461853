{{/* Names, labels and references that every template uses. "root" is the chart's context. */}}

{{- define "icn.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 39 | trimSuffix "-" -}}
{{- end -}}

{{/* icn.name (list root part): name of a part's objects. */}}
{{- define "icn.name" -}}
{{- printf "%s-%s" (include "icn.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* icn.selector (list root part): the labels that never change. */}}
{{- define "icn.selector" -}}
app.kubernetes.io/name: icn
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* icn.labels (list root part) */}}
{{- define "icn.labels" -}}
{{ include "icn.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{/* icn.image (list root name) */}}
{{- define "icn.image" -}}
{{- $root := index . 0 -}}
{{- printf "%s/%s:%s" $root.Values.images.repository (index . 1) ($root.Values.images.tag | default $root.Chart.AppVersion) -}}
{{- end -}}

{{/* icn.secret (list root part): name of a part's Secret. */}}
{{- define "icn.secret" -}}
{{- get (index . 0).Values.secrets (index . 1) | default (include "icn.name" .) -}}
{{- end -}}

{{/* icn.tlsSecret (list root part) */}}
{{- define "icn.tlsSecret" -}}
{{- get (index . 0).Values.tls.secrets (index . 1) | default (printf "%s-tls" (include "icn.name" .)) -}}
{{- end -}}

{{/* icn.genesisConfigMap root */}}
{{- define "icn.genesisConfigMap" -}}
{{- .Values.genesis.configMap | default (include "icn.name" (list . "genesis")) -}}
{{- end -}}

{{/* Hosted services beside the gateway, in this order. */}}
{{- define "icn.hosted" -}}
{{- if .Values.services.enabled }}identity governance marketplace reputation{{ end -}}
{{- end -}}

{{/* What shares the host's Postgres and bus, in this order: the hosted services and the gateway. */}}
{{- define "icn.shared" -}}
{{- if .Values.services.enabled }}{{ include "icn.hosted" . }} gateway{{ end -}}
{{- end -}}

{{/* icn.validators root: JSON of where every validator listens. */}}
{{- define "icn.validators" -}}
{{- $root := . -}}
{{- $all := list -}}
{{- range .Values.validators.seats -}}
{{- $host := include "icn.name" (list $root (printf "validator-%d" (int .))) -}}
{{- $all = append $all (dict "seat" (int .) "consensus" (printf "%s:7001" $host) "ledger" (printf "%s:7002" $host)) -}}
{{- end -}}
{{- range .Values.validators.elsewhere -}}
{{- $all = append $all (dict "seat" (int .seat) "consensus" (printf "%s:%d" .host (int .consensusPort)) "ledger" (printf "%s:%d" .host (int .ledgerPort))) -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* icn.peers (list root seat): JSON of where the other validators' consensus listens. */}}
{{- define "icn.peers" -}}
{{- $own := int (index . 1) -}}
{{- $peers := list -}}
{{- range (include "icn.validators" (index . 0) | fromJsonArray) -}}
{{- if ne (int .seat) $own }}{{- $peers = append $peers .consensus }}{{- end -}}
{{- end -}}
{{- $peers | toJson -}}
{{- end -}}

{{/* icn.services root: JSON of where the services of the host listen. */}}
{{- define "icn.services" -}}
{{- $root := . -}}
{{- $all := dict -}}
{{- range (include "icn.hosted" . | splitList " " | compact) -}}
{{- $_ := set $all . (printf "%s:7100" (include "icn.name" (list $root .))) -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* icn.natsUrl root: empty where validators have no bus. */}}
{{- define "icn.natsUrl" -}}
{{- if .Values.nats.bundled -}}
tls://{{ include "icn.name" (list . "nats") }}:4222
{{- else if or .Values.services.enabled .Values.nats.url -}}
{{ required "nats.url: where the event bus is, tls://host:port, since nats.bundled is false" .Values.nats.url }}
{{- end -}}
{{- end -}}

{{/* icn.validatorSelector root: the labels that all validators of the release have. */}}
{{- define "icn.validatorSelector" -}}
app.kubernetes.io/name: icn
app.kubernetes.io/instance: {{ .Release.Name | quote }}
icn.coop/kind: validator
{{- end -}}

{{/* icn.validatorLabels (list root part) */}}
{{- define "icn.validatorLabels" -}}
{{ include "icn.labels" . }}
icn.coop/kind: validator
{{- end -}}
