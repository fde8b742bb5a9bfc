{{- /*
Named templates for the Pod template of any chart. They take the root context: as a dependency the values stand under
`outrigger`, in this chart itself at the top.
*/}}

{{- define "outrigger.policyName" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- $v.policy.configMap | default (printf "%s-outrigger" .Release.Name | trunc 63 | trimSuffix "-") -}}
{{- end }}

{{- define "outrigger.claimName" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- $v.state.claim | default (printf "%s-outrigger-state" .Release.Name | trunc 63 | trimSuffix "-") -}}
{{- end }}

{{- define "outrigger.podLabels" -}}
outrigger.dev/sidecar: "true"
{{- end }}

{{- define "outrigger.podAnnotations" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- if $v.scrapeAnnotations -}}
prometheus.io/scrape: "true"
prometheus.io/port: "4491"
prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{- /* Under `initContainers`, before yours: empty in the plain form. */}}
{{- define "outrigger.initContainers" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- if $v.nativeSidecar }}{{ include "outrigger.sidecar" . }}{{ end }}
{{- end }}

{{- /* Under `containers`, behind yours: empty in the native form. */}}
{{- define "outrigger.containers" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- if not $v.nativeSidecar }}{{ include "outrigger.sidecar" . }}{{ end }}
{{- end }}

{{- define "outrigger.sidecar" -}}
{{- $v := .Values.outrigger | default .Values -}}
{{- $version := .Chart.AppVersion -}}
{{- if .Values.outrigger }}{{ $version = (index .Subcharts "outrigger").Chart.AppVersion }}{{ end -}}
- name: outrigger
  image: {{ printf "%s:%s" $v.image.repository ($v.image.tag | default $version) | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  {{- if $v.nativeSidecar }}
  restartPolicy: Always
  {{- end }}
  args:
    - run
    - --policy
    - /etc/outrigger/policy.yaml
    {{- if ne $v.state.kind "none" }}
    - --state-dir
    - /var/lib/outrigger
    {{- end }}
  ports:
    {{- if $v.inboundPort }}
    - name: outrigger-in
      containerPort: {{ $v.inboundPort }}
    {{- end }}
    - name: outrigger-prom
      containerPort: 4491
  env:
    - name: OUTRIGGER_GRACE_PERIOD
      value: {{ printf "%ds" (int $v.gracePeriodSeconds) | quote }}
  {{- if $v.nativeSidecar }}
  startupProbe:
    httpGet: { path: /readyz, port: 4491 }
    periodSeconds: 1
    failureThreshold: 30
  {{- else }}
  readinessProbe:
    httpGet: { path: /readyz, port: 4491 }
    periodSeconds: 2
  {{- end }}
  livenessProbe:
    httpGet: { path: /livez, port: 4491 }
    periodSeconds: 10
  resources:
    {{- toYaml $v.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: { drop: [ALL] }
    seccompProfile: { type: RuntimeDefault }
  volumeMounts:
    - name: outrigger-policy
      mountPath: /etc/outrigger
      readOnly: true
    {{- if $v.tlsSecret }}
    - name: outrigger-tls
      mountPath: /etc/outrigger-tls
      readOnly: true
    {{- end }}
    {{- if ne $v.state.kind "none" }}
    - name: outrigger-state
      mountPath: /var/lib/outrigger
    {{- end }}
{{- end }}

{{- define "outrigger.volumes" -}}
{{- $v := .Values.outrigger | default .Values -}}
- name: outrigger-policy
  configMap:
    name: {{ include "outrigger.policyName" . }}
{{- if $v.tlsSecret }}
- name: outrigger-tls
  secret:
    secretName: {{ $v.tlsSecret }}
{{- end }}
{{- if eq $v.state.kind "emptyDir" }}
- name: outrigger-state
  emptyDir:
    sizeLimit: 64Mi
{{- else if eq $v.state.kind "pvc" }}
- name: outrigger-state
  persistentVolumeClaim:
    claimName: {{ include "outrigger.claimName" . }}
{{- end }}
{{- end }}
