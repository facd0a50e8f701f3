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

flyball() {
    local program settings=$run/flyball.yaml
    program=$(rust_program flyball)
    [ -e "$settings" ] || {
        cat >"$settings" <<YAML
state: $run/flyball
policies: $PWD/deploy/policies
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
  mode: auto
  signals: [rps]
  allow_lowering: true
  slo: { p99: 800ms, error_ratio: 0.01 }
  bounds: { min: 2, max: 20 }
  capacity: { per_pod_rate: 10, utilisation: 0.8, start_time: 10s }
services:
  - name: shop/checkout
YAML
    }
    # Without a kill switch nothing is written: release it first.
    [ -e "$run/flyball/killswitch.yaml" ] || {
        mkdir -p "$run/flyball"
        "$program" resume --config "$settings" --reason "the lab starts" >/dev/null
    }
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
  flyball kill --reason "looking around"       stops all writes; flyball resume --reason ... allows them again
  kubectl scale -n shop deployment/checkout --replicas 15
                                               flyball yields to you, and says so
  kubectl get pods -A, kubectl top pods -n shop, kubectl get nodes

From outside: scripts/lab/enter COMMAND runs one of these; scripts/lab/down removes everything.
TXT
}
