# Sourced by scripts/lab/up: a shop under load, Prometheus with its history, and flyball.
# shellcheck shell=bash

# The daily load: in each 20 minutes, minutes 10 to 15 are five times as busy as the rest.
usual=12
surge=60
hours=6

# Writes the requests of the last four days in the format that Prometheus imports.
past() {
    awk -v now="$(date +%s)" -v usual=$usual -v surge=$surge 'BEGIN {
        print "# TYPE http_requests counter"
        for (at = now - 4 * 86400; at <= now; at += 15) {
            minute = int(at / 60) % 20
            count += 15 * (minute >= 10 && minute < 15 ? surge : usual)
            printf "http_requests_total{job=\"workers\",instance=\"history\",namespace=\"shop\",service=\"checkout\",code=\"200\"} %d %d\n", count, at
        }
        print "# EOF"
    }'
}

# Writes the next hours of the same load in the format of the player.
future() {
    awk -v now="$(date +%s)" -v usual=$usual -v surge=$surge -v end=$((hours * 3600)) 'BEGIN {
        rate = -1
        for (second = 0; second < end; second++) {
            minute = int((now + second) / 60) % 20
            next_rate = minute >= 10 && minute < 15 ? surge : usual
            if (next_rate != rate) print second "," (rate = next_rate)
        }
        print end ",0"
    }'
}

telemetry() {
    [ -d "$run/prometheus" ] || {
        past >"$run/past.om"
        promtool tsdb create-blocks-from --max-block-duration=48h openmetrics "$run/past.om" "$run/prometheus" \
            >"$run/promtool.log" 2>&1 || { cat "$run/promtool.log" >&2 && die "promtool cannot import the past"; }
    }
    cat >"$run/prometheus.yml" <<YAML
global: { scrape_interval: 5s, scrape_timeout: 5s }
scrape_configs:
  - job_name: workers
    file_sd_configs: [{ files: ["$run/targets.json"] }]
  - job_name: flyball
    static_configs: [{ targets: ["127.0.0.1:9464"] }]
YAML
    start prometheus 30 http://127.0.0.1:9090/-/ready prometheus --config.file="$run/prometheus.yml" \
        --storage.tsdb.path="$run/prometheus" --storage.tsdb.retention.time=60d --web.listen-address=127.0.0.1:9090
}

shop() {
    local rig
    rig=$(rust_program flyball-lab)
    apply tests/lab/kube/shop.yaml
    administer rollout status --namespace shop --timeout 60s deployment/checkout >/dev/null
    start balancer 30 http://127.0.0.1:8080/ env KUBECONFIG="$run/admin.kubeconfig" \
        "$rig" balance --namespace shop --service checkout --listen 127.0.0.1:8080
    alive load || {
        future >"$run/plan.csv"
        start load 10 http://127.0.0.1:8080/ \
            "$rig" play --plan "$run/plan.csv" --target http://127.0.0.1:8080/ --log "$run/requests.csv"
    }
}

# Serves the custom resources, of this flyball.
custom_resources() {
    apply deploy/base/crds.yaml
    administer wait --for condition=Established --timeout 30s -f deploy/base/crds.yaml >/dev/null
}

# Makes the object of a file, unless it exists.
made() {
    administer get -f "$1" >/dev/null 2>&1 || administer create -f "$1" >/dev/null || die "the API server refuses $1"
}

flyball() {
    local program settings=$run/flyball.yaml
    program=$(rust_program flyball)
    [ -e "$settings" ] || {
        cat >"$settings" <<YAML
state: $run/flyball
namespace: flyball-system
policies: configmaps
kill_switch: configmap
services: serviceloops
listen: 127.0.0.1:9464
sources:
  main: { kind: prometheus, url: "http://127.0.0.1:9090", interval: 5s, history: 4d }
signals:
  rps:
    source: main
    query: 'sum by (namespace, service) (rate(http_requests_total{\$selector}[30s]))'
    samples: 'http_requests_total{\$selector}'
    labels: [namespace, service]
    unit: per_second
    role: arrival_rate
    forecast: true
    range: [0, 5000]
    scrape_interval: 5s
defaults:
  mode: shadow
  signals: [rps]
  slo: { p99: 800ms, error_ratio: 0.01 }
  bounds: { min: 2, max: 20 }
YAML
    }
    custom_resources
    apply deploy/base/bound.yaml
    "$kubectl" kustomize deploy/policies >"$run/policies.yaml"
    apply "$run/policies.yaml"
    # These two belong to whoever plays: a second start changes nothing of them.
    made deploy/base/killswitch.yaml
    cat >"$run/loop.yaml" <<YAML
apiVersion: flyball.dev/v1alpha1
kind: ServiceLoop
metadata: { name: checkout, namespace: shop }
spec:
  mode: auto
  allowLowering: true
  capacity: { perPodRate: 10, utilisation: 0.8, startTime: 10s }
YAML
    made "$run/loop.yaml"
    start flyball 60 http://127.0.0.1:9464/livez env KUBECONFIG="$run/flyball.kubeconfig" \
        "$program" run --config "$settings"
}

what_to_try() {
    cat >&2 <<TXT

The load of this shop surges from 10 to 15, 30 to 35 and 50 to 55 minutes past each hour. flyball knows four days of it.
The load ends in $hours hours. Inside the lab (scripts/lab/enter opens a shell; FLYBALL_CONFIG is set), try:

  kubectl get deployments,pods -n shop -w      replicas are added before a surge
  flyball explain shop/checkout                why
  curl -s 127.0.0.1:9464/api/v1/services       what flyball sees and forecasts
  tail -f $run/requests.csv
                                               what clients see: planned ms, late ms, status, latency ms
  kubectl get serviceloops -A -w               what its owner sees; kubectl edit serviceloop checkout -n shop
  kubectl -n flyball-system patch configmap flyball-killswitch --type merge -p '{"data":{"global":"engaged"}}'
                                               stops all writes; "released" allows them again
  kubectl scale -n shop deployment/checkout --replicas 15
                                               flyball yields to you, and says so
  kubectl get pods -A, kubectl top pods -n shop, kubectl get nodes

docs/cluster.md and docs/operations.md work here as they stand; flyball runs beside the cluster, not in a pod, so \`fly\`
is \`flyball\`.

From outside: scripts/lab/enter COMMAND runs one of these; scripts/lab/down removes everything.
TXT
}
