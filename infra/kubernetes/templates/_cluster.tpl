{{/* The specification of a Ray cluster: (dict "root" $ "machines" (list "spot")). */}}
{{- define "sa.cluster" -}}
{{- $root := .root -}}
{{- $head := $root.Values.machines.head -}}
rayVersion: {{ $root.Values.rayVersion | quote }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ $root.Values.cluster.idleSeconds }}
  securityContext: {{- include "sa.confined" $root | nindent 4 }}
  resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: 500m, memory: 1Gi}}
authOptions: {mode: token, secretName: {{ $root.Values.secrets }}}
headGroupSpec:
  labels: {market: head}
  rayStartParams:
    dashboard-host: 0.0.0.0
    num-cpus: {{ sub $head.cpu $head.drivers | quote }}
  template:
    {{- include "sa.rayPod" (dict "root" $root "of" $head "name" "ray-head" "image" $root.Values.images.cpu) | nindent 4 }}
{{- if .machines }}
workerGroupSpecs:
  {{- range $name := .machines }}
  {{- $of := index $root.Values.machines $name }}
  - groupName: {{ $name }}
    replicas: 0
    minReplicas: 0
    maxReplicas: {{ $of.most }}
    labels: {market: {{ $of.market }}}
    rayStartParams: {object-spilling-directory: /spill}
    template:
      {{- include "sa.rayPod" (dict "root" $root "of" $of "name" "ray-worker" "image" $root.Values.images.cuda) | nindent 6 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sa.rayPod" -}}
{{- $root := .root -}}
metadata:
  labels: {{- include "sa.labels" $root | nindent 4 }}
spec:
  securityContext: {{- include "sa.pod" 1000 | nindent 4 }}
  terminationGracePeriodSeconds: 60
  {{- with .of.selector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .of.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ .image }}
      securityContext: {{- include "sa.confined" $root | nindent 8 }}
      resources:
        {{- range $kind := list "requests" "limits" }}
        {{ $kind }}:
          cpu: {{ $.of.cpu | quote }}
          memory: {{ $.of.memory }}
          {{- with $.of.gpu }}
          nvidia.com/gpu: {{ . | quote }}
          {{- end }}
        {{- end }}
      env:
        - {name: SA_ROOT, value: /data}
        - {name: SA_WEIGHTS, value: /data/weights}
        - {name: SA_NODE_TYPES, value: /etc/flow/machines.yaml}
        - {name: MLFLOW_TRACKING_URI, value: "http://{{ $root.Values.flow }}-mlflow:5000"}
        - {name: MLFLOW_TRACKING_USERNAME, value: {{ $root.Values.mlflow.user }}}
        {{- include "sa.secret" (dict "root" $root "name" "MLFLOW_TRACKING_PASSWORD" "key" "MLFLOW_AUTH_ADMIN_PASSWORD") | nindent 8 }}
        - {name: RAY_PROMETHEUS_HOST, value: "http://{{ $root.Values.flow }}-prometheus:9090"}
      {{- if eq .name "ray-head" }}
      ports:
        - {containerPort: 6379, name: gcs-server}
        - {containerPort: 8265, name: dashboard}
        - {containerPort: 8080, name: metrics}
      {{- else }}
      ports: [{containerPort: 8080, name: metrics}]
      {{- end }}
      volumeMounts:
        - {name: root, mountPath: /data}
        - {name: settings, mountPath: /etc/flow, readOnly: true}
        - {name: spill, mountPath: /spill}
        - {name: shm, mountPath: /dev/shm}
  volumes:
    - {name: root, persistentVolumeClaim: {claimName: {{ include "sa.claim" $root }}}}
    - {name: settings, configMap: {name: {{ $root.Release.Name }}-settings}}
    - {name: spill, emptyDir: {sizeLimit: {{ .of.spill | default "50Gi" }}}}
    - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ .of.shm }}}}
{{- end }}

{{/* The specification of a job: (dict "root" $ "verb" "curate"). */}}
{{- define "sa.job" -}}
{{- $root := .root -}}
{{- if not (hasKey $root.Values.jobs .verb) }}
{{- fail (printf "run: %q is no verb; one of %s" .verb (keys $root.Values.jobs | sortAlpha | join ", ")) }}
{{- end }}
{{- $command := printf "python -m jobs.%s --config /etc/flow/settings.yaml" .verb }}
{{- range $root.Values.overrides }}
{{- $command = printf "%s %s" $command (squote .) }}
{{- end }}
entrypoint: {{ $command | quote }}
submissionMode: SidecarMode
metadata: {verb: {{ .verb }}, release: {{ $root.Release.Name }}}
backoffLimit: {{ $root.Values.retries }}
activeDeadlineSeconds: {{ $root.Values.longestSeconds }}
shutdownAfterJobFinishes: true
ttlSecondsAfterFinished: {{ $root.Values.keepSeconds }}
rayClusterSpec:
  {{- include "sa.cluster" (dict "root" $root "machines" (index $root.Values.jobs .verb)) | nindent 2 }}
{{- end }}
