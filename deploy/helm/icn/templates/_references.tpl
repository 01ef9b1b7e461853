{{/* icn.references root: JSON of every Secret and ConfigMap that pods need and the chart does not make, with the keys
     that must be in it. What cert-manager makes is not among them: it comes after the release. */}}
{{- define "icn.references" -}}
{{- $root := . -}}
{{- $isTlsOurs := .Values.tls.certManager.enabled -}}
{{- $tls := list "tls.crt" "tls.key" "ca.crt" -}}
{{- $all := list (dict "kind" "ConfigMap" "name" (include "icn.genesisConfigMap" .) "keys" (list "genesis.json")) -}}
{{- range .Values.validators.seats -}}
{{- $part := printf "validator-%d" (int .) -}}
{{- $keys := list "consensus.json" -}}
{{- if include "icn.natsUrl" $root }}{{- $keys = append $keys "nats-password" }}{{- end -}}
{{- range list "consensus" "ledger" "vm" -}}
{{- $keys = append $keys (printf "%s-database-url" .) -}}
{{- if $root.Values.validators.postgres.bundled }}{{- $keys = append $keys (printf "%s-password" .) }}{{- end -}}
{{- end -}}
{{- if $root.Values.validators.postgres.bundled }}{{- $keys = append $keys "administrator-password" }}{{- end -}}
{{- $all = append $all (dict "kind" "Secret" "name" (include "icn.secret" (list $root $part)) "keys" $keys) -}}
{{- /* Which record each key of the seat votes with: read and written before it starts, not mounted. */ -}}
{{- $all = append $all (dict "kind" "ConfigMap" "name" (printf "%s-record" (include "icn.name" (list $root $part))) "keys" list) -}}
{{- end -}}
{{- range include "icn.shared" . | splitList " " | compact -}}
{{- $keys := list "database-url" "nats-password" -}}
{{- if ne . "gateway" }}{{- $keys = append $keys "sealing.key" }}{{- end -}}
{{- if $root.Values.postgres.bundled }}{{- $keys = append $keys "database-password" }}{{- end -}}
{{- $all = append $all (dict "kind" "Secret" "name" (include "icn.secret" (list $root .)) "keys" $keys) -}}
{{- end -}}
{{- if .Values.postgres.bundled -}}
{{- $all = append $all (dict "kind" "Secret" "name" (include "icn.secret" (list $root "postgres")) "keys" (list "administrator-password")) -}}
{{- end -}}
{{- if not $isTlsOurs -}}
{{- range include "icn.certificateParts" . | splitList " " -}}
{{- if or (ne . "client") $root.Values.operator.toolbox -}}
{{- $all = append $all (dict "kind" "Secret" "name" (include "icn.tlsSecret" (list $root .)) "keys" $tls) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.images.pullSecrets -}}
{{- $all = append $all (dict "kind" "Secret" "name" . "keys" list) -}}
{{- end -}}
{{- $ingress := .Values.services.gateway.ingress -}}
{{- if and $ingress.enabled $ingress.tlsSecret -}}
{{- $all = append $all (dict "kind" "Secret" "name" $ingress.tlsSecret "keys" (list "tls.crt" "tls.key")) -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* icn.certificateParts root: everything that calls or is called over TLS, with a space between. */}}
{{- define "icn.certificateParts" -}}
{{- $parts := list -}}
{{- range .Values.validators.seats }}{{- $parts = append $parts (printf "validator-%d" (int .)) }}{{- end -}}
{{- $parts = concat $parts (include "icn.shared" . | splitList " " | compact) -}}
{{- if .Values.postgres.bundled }}{{- $parts = append $parts "postgres" }}{{- end -}}
{{- if .Values.nats.bundled }}{{- $parts = append $parts "nats" }}{{- end -}}
{{- append $parts "client" | join " " -}}
{{- end -}}

{{/* icn.minutes duration: of hours or minutes, as the schema allows them. */}}
{{- define "icn.minutes" -}}
{{- if hasSuffix "h" . -}}
{{- mul 60 (trimSuffix "h" . | int) -}}
{{- else -}}
{{- trimSuffix "m" . | int -}}
{{- end -}}
{{- end -}}

{{/* icn.mebibytes size: as the schema allows them, and as the API writes them. */}}
{{- define "icn.mebibytes" -}}
{{- if hasSuffix "Ti" . -}}
{{- mul 1048576 (trimSuffix "Ti" . | int) -}}
{{- else if hasSuffix "Gi" . -}}
{{- mul 1024 (trimSuffix "Gi" . | int) -}}
{{- else -}}
{{- trimSuffix "Mi" . | int -}}
{{- end -}}
{{- end -}}
