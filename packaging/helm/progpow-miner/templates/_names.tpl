{{- define "progpow-miner.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "progpow-miner.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "progpow-miner.labels" -}}
{{ include "progpow-miner.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "progpow-miner.image" -}}
{{- printf "%s:%s" .Values.image.repository (default (printf "%s-%s" .Chart.AppVersion .Values.image.target) .Values.image.tag) -}}
{{- end -}}

{{/* Without a token in the values or in an existing Secret, each pod makes its own. */}}
{{- define "progpow-miner.ownToken" -}}
{{- if not (or .Values.api.token .Values.existingSecret) }}yes{{ end -}}
{{- end -}}

{{- define "progpow-miner.serviceAccount" -}}
{{- default (ternary (include "progpow-miner.fullname" .) "" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "progpow-miner.secret" -}}
{{- default (include "progpow-miner.fullname" .) .Values.existingSecret -}}
{{- end -}}
