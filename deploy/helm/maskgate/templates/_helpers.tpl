{{- define "maskgate.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "maskgate.selector" -}}
app.kubernetes.io/name: maskgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "maskgate.labels" -}}
{{ include "maskgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "maskgate.image" -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{- define "maskgate.confined" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "maskgate.modelsMount" -}}
name: models
mountPath: {{ .Values.models.path }}
{{- with .Values.models.pvc.subPath }}
subPath: {{ . }}
{{- end }}
{{- end -}}
