package telemetry_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

func TestMetricsOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 0})
		ctx, span, call := r.begin("GET", "crm")
		chain := policy.Passage(r.Transport(answers(503, 200)))
		for range 2 {
			send(t, chain, outbound(ctx, "GET", "https://host-of-a-wildcard.test/path-of-a-call"))
		}
		r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: 300 * time.Millisecond})
		r.Observe(ctx, policy.Event{Kind: policy.EventRetry, Upstream: "crm", Reason: "status 503", Delay: 2 * time.Second})
		r.Observe(ctx, policy.Event{Kind: policy.EventBackoff, Upstream: "crm", Reason: "status 503", Delay: 2 * time.Second})
		r.Observe(ctx, policy.Event{Kind: policy.EventGiveUp, Upstream: "crm", Reason: "budget"})
		r.Observe(ctx, policy.Event{Kind: policy.EventHedge, Upstream: "crm", Reason: "won", Delay: 120 * time.Millisecond})
		r.Observe(ctx, policy.Event{Kind: policy.EventRepeat, Upstream: "crm", Reason: "same key"})
		r.Observe(ctx, policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "host-of-a-wildcard.test", From: "closed", To: "open"})
		time.Sleep(6 * time.Second)
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Host: "host-of-a-wildcard.test", Path: "/path-of-a-call", Status: 502, Problem: "upstream-reset"})
		_, tunnel := r.StartCall(httptest.NewRequest("CONNECT", "example.com:443", nil), "connect")
		tunnel.End(&telemetry.Outcome{Method: "CONNECT", Host: "example.com:443", Status: 200})

		text := r.metrics(t)
		for _, want := range []string{
			`http_server_request_duration_seconds_bucket{error_type="upstream-reset",http_request_method="GET",http_response_status_code="502",status_class="5xx",upstream="crm",url_scheme="http",le="7.5"} 1`,
			`http_server_request_duration_seconds_bucket{error_type="upstream-reset",http_request_method="GET",http_response_status_code="502",status_class="5xx",upstream="crm",url_scheme="http",le="5"} 0`,
			`http_server_request_duration_seconds_count{http_request_method="CONNECT",http_response_status_code="200",status_class="2xx",upstream="none",url_scheme="http"} 1`,
			`http_client_request_duration_seconds_count{error_type="503",http_request_method="GET",http_response_status_code="503",status_class="5xx",upstream="crm",url_scheme="https"} 1`,
			`http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",status_class="2xx",upstream="crm",url_scheme="https"} 1`,
			`outrider_wait_duration_seconds_sum{reason="rate",upstream="crm"} 0.3`,
			`outrider_wait_duration_seconds_sum{reason="backoff",upstream="crm"} 2`,
			`outrider_retries_total{reason="status 503",upstream="crm"} 1`,
			`outrider_give_ups_total{reason="budget",upstream="crm"} 1`,
			`outrider_hedges_total{result="won",upstream="crm"} 1`,
			`outrider_repeats_total{reason="same key",upstream="crm"} 1`,
			`outrider_circuit_transitions_total{from="closed",to="open",upstream="crm"} 1`,
			`outrider_problems_total{problem="upstream-reset",upstream="crm"} 1`,
			"go_goroutines ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("missing %s", want)
			}
		}
		for _, never := range []string{"host-of-a-wildcard", "path-of-a-call", "example.com"} {
			if strings.Contains(text, never) {
				t.Errorf("%s became a label", never)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	})
}

func TestGaugesReadTheStateAndFoldHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		gate := time.Now().Add(90 * time.Second)
		r.Watch(func() []policy.UpstreamStatus {
			up := policy.UpstreamStatus{Name: "shops", Budget: 4.5}
			for i := range 1000 {
				key := fmt.Sprintf("shop%d.test", i)
				up.Quotas = append(up.Quotas, policy.QuotaStatus{Key: key, Limit: "2/s", Tokens: float64(i) + 0.5, Room: 1000, Active: 1,
					Waiting: 3, Line: policy.Line{High: 1, Low: 2}})
				up.Circuits = append(up.Circuits, policy.CircuitStatus{Key: key, State: "closed"})
			}
			up.Quotas[7].Gate = &gate
			up.Circuits[7].State = "open"
			up.Circuits = append(up.Circuits, policy.CircuitStatus{Key: policy.AllCircuits, State: "open"}) // an order, and no circuit
			return []policy.UpstreamStatus{up}
		})
		text := r.metrics(t)
		for _, want := range []string{
			`outrider_quota_tokens{limit="2/s",upstream="shops"} 0.5`,
			`outrider_quota_waiting{limit="2/s",priority="high",upstream="shops"} 1000`,
			`outrider_quota_waiting{limit="2/s",priority="normal",upstream="shops"} 0`,
			`outrider_quota_waiting{limit="2/s",priority="low",upstream="shops"} 2000`,
			`outrider_quota_active{limit="2/s",upstream="shops"} 1000`,
			`outrider_quota_gate_seconds{limit="2/s",upstream="shops"} 90`,
			`outrider_circuits{state="closed",upstream="shops"} 999`,
			`outrider_circuits{state="half-open",upstream="shops"} 0`,
			`outrider_circuits{state="open",upstream="shops"} 1`,
			`outrider_retry_budget{upstream="shops"} 4.5`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("missing %s", want)
			}
		}
		if strings.Contains(text, "shop7") {
			t.Error("the host of a wildcard became a label")
		}
	})
}

// A quota that is learned has its bucket for a label, and of many keys the tightest tells
// what there is, what is left and until when.
func TestGaugesOfLearnedQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		reset := time.Now().Add(90 * time.Second)
		bucket := func(key, name string, left, of float64) policy.QuotaStatus {
			used := 1 - left/of
			return policy.QuotaStatus{Key: key, Bucket: name, Limit: "learned", Utilization: &used, Active: 1, Waiting: 2, Line: policy.Line{High: 2},
				Learned: &policy.LearnedStatus{Limit: of, Remaining: left, Reset: &reset, Window: 3600, Shape: "window"}}
		}
		r.Watch(func() []policy.UpstreamStatus {
			return []policy.UpstreamStatus{{Name: "crm", Quotas: []policy.QuotaStatus{
				{Key: "a.test", Limit: "learned", Active: 4},
				bucket("a.test", "core", 40, 100), bucket("b.test", "core", 30, 40), bucket("c.test", "core", 45, 100), bucket("d.test", "core", 40, 100),
				bucket("a.test", "search app-one", 10, 20), bucket("a.test", "search app-two", 5, 20),
				{Key: "a.test", Bucket: "shy", Limit: "learned", Learned: &policy.LearnedStatus{Remaining: 7, Shape: "bucket"}},
				{Key: "a.test", Bucket: "graphql", Limit: "learned", Learned: &policy.LearnedStatus{Limit: 1000, Remaining: 552, Shape: "bucket", Unit: "points", Each: 100}},
				{Key: "a.test", Bucket: "jobs", Limit: "learned", Learned: &policy.LearnedStatus{Remaining: 3, Shape: "bucket", Unit: "whatever-they-say"}},
			}}}
		})
		text := r.metrics(t)
		for _, want := range []string{
			`outrider_quota_limit{bucket="core",limit="learned",upstream="crm"} 100`,
			`outrider_quota_remaining{bucket="core",limit="learned",upstream="crm"} 40`,
			`outrider_quota_reset_seconds{bucket="core",limit="learned",upstream="crm"} 90`,
			`outrider_quota_utilization_ratio{bucket="core",limit="learned",upstream="crm"} 0.6`,
			`outrider_quota_waiting{bucket="core",limit="learned",priority="high",upstream="crm"} 8`,
			`outrider_quota_active{bucket="core",limit="learned",upstream="crm"} 4`,
			`outrider_quota_active{limit="learned",upstream="crm"} 4`,
			`outrider_quota_remaining{bucket="search",limit="learned",upstream="crm"} 5`,
			`outrider_quota_remaining{bucket="shy",limit="learned",upstream="crm"} 7`,
			`outrider_quota_reset_seconds{bucket="shy",limit="learned",upstream="crm"} 0`,
			`outrider_quota_limit{bucket="graphql",limit="learned",unit="points",upstream="crm"} 1000`,
			`outrider_quota_remaining{bucket="graphql",limit="learned",unit="points",upstream="crm"} 552`,
			`outrider_quota_call{bucket="graphql",limit="learned",unit="points",upstream="crm"} 100`,
			`outrider_quota_remaining{bucket="jobs",limit="learned",upstream="crm"} 3`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("missing %s", want)
			}
		}
		for _, never := range []string{"outrider_quota_tokens", "app-", `_limit{bucket="shy"`, `_ratio{bucket="shy"`} {
			if strings.Contains(text, never) {
				t.Errorf("%s is told", never)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	})
}

// What names a bucket comes from outside, for each key anew.
func TestBucketsBecomeABoundedNumberOfLabels(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	r.Watch(func() []policy.UpstreamStatus {
		up := policy.UpstreamStatus{Name: "crm"}
		for i := range 1000 {
			up.Quotas = append(up.Quotas, policy.QuotaStatus{Key: fmt.Sprint("key", i), Bucket: fmt.Sprintf("b%03d", i), Limit: "learned",
				Learned: &policy.LearnedStatus{Remaining: float64(1000 - i), Shape: "window"}})
		}
		return []policy.UpstreamStatus{up}
	})
	text := r.metrics(t)
	if n := strings.Count(text, "outrider_quota_remaining{"); n != 65 {
		t.Errorf("%d series, want 64 buckets, and the others together", n)
	}
	for _, want := range []string{`{bucket="b063",limit="learned",upstream="crm"} 937`, `{bucket="other",limit="learned",upstream="crm"} 1`} {
		if !strings.Contains(text, "outrider_quota_remaining"+want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
}

func TestLabelsAreBoundedWhateverComes(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	for i := range 6000 {
		r.Observe(context.Background(), policy.Event{Kind: policy.EventGiveUp, Upstream: "crm", Reason: fmt.Sprint("reason ", i)})
		r.Observe(context.Background(), policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: fmt.Sprint("reason ", i), Delay: time.Second})
	}
	text := r.metrics(t)
	for name, others := range map[string]string{
		"outrider_give_ups_total":              `outrider_give_ups_total{otel_metric_overflow="true"} 1001`,
		"outrider_wait_duration_seconds_count": `outrider_wait_duration_seconds_count{otel_metric_overflow="true"} 1001`,
	} {
		if n := strings.Count(text, name+"{"); n != 5000 {
			t.Errorf("%d series of %s", n, name)
		}
		if !strings.Contains(text, others) {
			t.Errorf("what came too late is not counted: %s is missing", others)
		}
	}
}
