{{/* icn.natsPermissions service: what its user may do on the bus. It writes its own stream alone, and reads the
     others' through consumers; leases, dead letters and answers are its own. Source: docs/spec/events.md. */}}
{{- define "icn.natsPermissions" -}}
{{- $service := . -}}
{{- $stream := printf "ICN_%s" (upper $service) -}}
{{- $publish := list "$JS.API.INFO" "$JS.API.STREAM.INFO.*" "$JS.API.STREAM.MSG.GET.*" "$JS.API.DIRECT.GET.>" -}}
{{- $publish = concat $publish (list "$JS.API.CONSUMER.>" "$JS.ACK.>" "$JS.FC.>") -}}
{{- if ne $service "gateway" -}}
{{- $publish = concat $publish (list (printf "icn.%s.>" $service) "icn_dead_letter.>" "$KV.icn_leases.>") -}}
{{- $publish = concat $publish (list (printf "$JS.API.STREAM.CREATE.%s" $stream) (printf "$JS.API.STREAM.DELETE.%s" $stream)) -}}
{{- $publish = concat $publish (list "$JS.API.STREAM.CREATE.ICN_DEAD_LETTERS" "$JS.API.STREAM.MSG.DELETE.ICN_DEAD_LETTERS" "$JS.API.STREAM.CREATE.KV_icn_leases") -}}
{{- end -}}
permissions: { publish: { allow: {{ $publish | toRawJson }} }, subscribe: { allow: ["_INBOX.>"] } }
{{- end -}}
