{{/* icn.postgres (dict root roles resources arguments): the container of a bundled server; it needs the volumes
     postgres, postgres-run, postgres-configuration and postgres-passwords. */}}
{{- define "icn.postgres" -}}
name: postgres
{{ include "icn.container" (list .root "postgres") }}
command: [/bin/sh, /etc/postgresql/start.sh]
args: {{ .arguments | default (list "-c" "listen_addresses=") | toJson }}
env:
  - {name: ROLES, value: {{ join " " .roles | quote }}}
  {{- if .tls }}
  - {name: FOLLOWED, value: "/run/passwords /run/tls"}
  {{- end }}
  - {name: TZ, value: UTC}
  - {name: LC_ALL, value: C}
startupProbe:
  exec: {command: [pg_isready, --quiet, --host=/run/postgres]}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 600
readinessProbe:
  exec: {command: [pg_isready, --quiet, --host=/run/postgres]}
  periodSeconds: 5
  timeoutSeconds: 5
resources: {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - {name: postgres, mountPath: /var/lib/postgresql}
  - {name: postgres-run, mountPath: /run/postgres}
  - {name: postgres-configuration, mountPath: /etc/postgresql, readOnly: true}
  - {name: postgres-passwords, mountPath: /run/passwords, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- if .tls }}
  - {name: tls, mountPath: /run/tls, readOnly: true}
{{- end }}
{{- end -}}

{{/* icn.postgresVolumes root */}}
{{- define "icn.postgresVolumes" -}}
- name: postgres-run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: postgres-configuration
  configMap: {name: {{ include "icn.name" (list . "postgres-configuration") }}}
{{- end -}}
