{{/* Names, labels, and what every container may not do. */}}
{{- define "sa.labels" -}}
app.kubernetes.io/name: stableanimator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "sa.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "sa.claim" -}}
{{ .Values.root.claim | default (printf "%s-root" .Values.flow) }}
{{- end }}

{{- define "sa.confined" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sa.pod" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A variable whose value is in the secrets. */}}
{{- define "sa.secret" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .root.Values.secrets }}, key: {{ .key | default .name }}}}
{{- end }}

{{- define "sa.settings" -}}
{{ .Values.settings | default "extends: /app/infra/settings.yaml\n" }}
{{- end }}

{{/* A claim of a volume of one pod. */}}
{{- define "sa.volume" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  labels: {{- include "sa.labels" .root | nindent 4 }}
  annotations: {helm.sh/resource-policy: keep}
spec:
  accessModes: [{{ .mode | default "ReadWriteOnce" }}]
  {{- with .of.class }}
  storageClassName: {{ . }}
  {{- end }}
  resources: {requests: {storage: {{ .of.size }}}}
{{- end }}
