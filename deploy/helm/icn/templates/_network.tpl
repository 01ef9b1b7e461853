{{/* Who calls whom: the one list that the network policies are made from. `validator` stands for each of them,
     `elsewhere` for what is outside the release, `kubernetes` for its API. Members reach the gateway besides. */}}
{{- define "icn.calls" -}}
{{- $hosted := include "icn.hosted" . | splitList " " | compact }}
{{- $nats := include "icn.natsUrl" . | trim | regexFind "[0-9]+$" }}
{{- $postgres := ternary 5432 (int .Values.postgres.port) .Values.postgres.bundled }}
- {from: validator, to: validator, ports: [7001]}
{{- if include "icn.natsUrl" . }}
- {from: validator, to: {{ ternary "nats" "elsewhere" .Values.nats.bundled }}, ports: [{{ $nats }}]}
{{- end }}
{{- if .Values.services.enabled }}
- {from: gateway, to: validator, ports: [7001, 7002]}
- {from: gateway, to: {{ ternary "nats" "elsewhere" .Values.nats.bundled }}, ports: [{{ $nats }}]}
- {from: gateway, to: {{ ternary "postgres" "elsewhere" .Values.postgres.bundled }}, ports: [{{ $postgres }}]}
- {from: client, to: gateway, ports: [8080]}
{{- end }}
{{- range $hosted }}
- {from: gateway, to: {{ . }}, ports: [7100]}
- {from: {{ . }}, to: validator, ports: [7001, 7002]}
- {from: {{ . }}, to: {{ ternary "nats" "elsewhere" $.Values.nats.bundled }}, ports: [{{ $nats }}]}
- {from: {{ . }}, to: {{ ternary "postgres" "elsewhere" $.Values.postgres.bundled }}, ports: [{{ $postgres }}]}
{{- end }}
{{- if not .Values.validators.postgres.bundled }}
- {from: validator, to: elsewhere, ports: [{{ int .Values.validators.postgres.port }}]}
{{- end }}
{{- range .Values.validators.elsewhere }}
- {from: validator, to: elsewhere, ports: [{{ .consensusPort }}]}
{{- if $.Values.services.enabled }}
- {from: gateway, to: elsewhere, ports: [{{ .consensusPort }}, {{ .ledgerPort }}]}
{{- end }}
{{- $elsewhere := . }}
{{- range $hosted }}
- {from: {{ . }}, to: elsewhere, ports: [{{ $elsewhere.consensusPort }}, {{ $elsewhere.ledgerPort }}]}
{{- end }}
{{- end }}
{{- if .Values.validators.elsewhere }}
- {from: elsewhere, to: validator, ports: [7001, 7002]}
{{- end }}
{{- with .Values.tracing.endpoint }}
{{- $collector := regexFind "[0-9]+$" . }}
{{- range concat (list "validator" "gateway") $hosted }}
- {from: {{ . }}, to: elsewhere, ports: [{{ $collector }}]}
{{- end }}
{{- end }}
- {from: operator, to: kubernetes, ports: [443, 6443]}
- {from: validator, to: kubernetes, ports: [443, 6443]}
- {from: operator, to: validator, ports: [9101]}
{{- if .Values.operator.toolbox }}
- {from: toolbox, to: validator, ports: [7001, 7002]}
{{- range .Values.validators.elsewhere }}
- {from: toolbox, to: elsewhere, ports: [{{ .consensusPort }}, {{ .ledgerPort }}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* icn.networkSelector (list root part) */}}
{{- define "icn.networkSelector" -}}
{{- if eq (index . 1) "validator" -}}
{{ include "icn.validatorSelector" (index . 0) }}
{{- else -}}
{{ include "icn.selector" . }}
{{- end -}}
{{- end -}}
