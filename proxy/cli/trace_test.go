package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A receiver is an OTLP receiver on loopback, which keeps what it gets.
type receiver struct {
	url string
	mu  sync.Mutex
	all []*tracepb.Span
	// lines are exported logs, as they come: protocol buffers have text as it is.
	lines []byte
}

func receive(t *testing.T) *receiver {
	t.Helper()
	clearTelemetryVariables(t)
	c := &receiver{}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/logs" {
			c.takeLines(t, r)
			return
		}
		spans, err := readSpans(r)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("an export to %s: %v", r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, spans...)
	})
	c.url = server.URL
	return c
}

// clearTelemetryVariables keeps what the machine exports to out of a test.
func clearTelemetryVariables(t *testing.T) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

func (c *receiver) takeLines(t *testing.T, r *http.Request) {
	data, err := readExport(r)
	if err != nil {
		t.Errorf("an export of logs: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, data...)
}

func readExport(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

func readSpans(r *http.Request) ([]*tracepb.Span, error) {
	data, err := readExport(r)
	if err != nil {
		return nil, err
	}
	var export coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		return nil, err
	}
	var spans []*tracepb.Span
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			spans = append(spans, scope.Spans...)
		}
	}
	return spans, nil
}

// kind gives the spans of a kind, in the order in which they began.
func (c *receiver) kind(kind tracepb.Span_SpanKind) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spans []*tracepb.Span
	for _, span := range c.all {
		if span.Kind == kind {
			spans = append(spans, span)
		}
	}
	slices.SortFunc(spans, func(a, b *tracepb.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	return spans
}

// attribute is the value of an attribute as text, "" when it is not there.
func attribute(attributes []*commonpb.KeyValue, key string) string {
	for _, kv := range attributes {
		if kv.Key == key {
			switch v := kv.Value.Value.(type) {
			case *commonpb.AnyValue_StringValue:
				return v.StringValue
			case *commonpb.AnyValue_IntValue:
				return strconv.FormatInt(v.IntValue, 10)
			}
			return kv.Value.String()
		}
	}
	return ""
}

// halt stops the sidecar inside a test: what is queued for export is sent then.
func (r *running) halt() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.stop(ctx); err != nil {
		r.t.Fatalf("stopping: %v", err)
	}
}

// One trace tells the story of a call, and everything that names the trace
// names the same one: the caller's traceparent, the spans, the answer, the log,
// the list of calls.
func TestOneTraceTellsOfEveryAttempt(t *testing.T) {
	collector := receive(t)
	requests := &ledger{}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		entry := requests.note(r)
		if len(requests.peek()) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, entry.uri)
	})
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = "http://%s"
retry = { attempts = 3, base = "20ms", cap = "40ms" }
`, collector.url, server.Listener.Addr()))
	const caller, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/api/x?token=1"), nil)
	req.Header.Set("Traceparent", "00-"+caller+"-"+parent+"-01")
	resp, body := do(t, http.DefaultClient, req)
	r.rest()
	_, calls := r.ask("GET", "/api/calls")
	r.halt()

	if resp.StatusCode != 200 || body != "/x?token=1" || resp.Header.Get("Outrider-Attempts") != "3" || resp.Header.Get("Outrider-Trace") != caller {
		t.Errorf("got %d %q with %v", resp.StatusCode, body, resp.Header)
	}
	servers, attempts := collector.kind(tracepb.Span_SPAN_KIND_SERVER), collector.kind(tracepb.Span_SPAN_KIND_CLIENT)
	if len(servers) != 1 || len(attempts) != 3 {
		t.Fatalf("%d SERVER and %d CLIENT spans, want 1 and 3", len(servers), len(attempts))
	}
	span := servers[0]
	if hex.EncodeToString(span.TraceId) != caller || hex.EncodeToString(span.ParentSpanId) != parent {
		t.Errorf("the SERVER span continues %x under %x", span.TraceId, span.ParentSpanId)
	}
	for i, attempt := range attempts {
		wantStatus, wantResend := "503", ""
		if i == 2 {
			wantStatus = "200"
		}
		if i > 0 {
			wantResend = strconv.Itoa(i)
		}
		if status := attribute(attempt.Attributes, "http.response.status_code"); status != wantStatus {
			t.Errorf("attempt %d: status %s, want %s", i+1, status, wantStatus)
		}
		if resend := attribute(attempt.Attributes, "http.request.resend_count"); resend != wantResend {
			t.Errorf("attempt %d: resend_count %q, want %q", i+1, resend, wantResend)
		}
		if hex.EncodeToString(attempt.TraceId) != caller || string(attempt.ParentSpanId) != string(span.SpanId) {
			t.Errorf("attempt %d: trace %x, parent %x", i+1, attempt.TraceId, attempt.ParentSpanId)
		}
		if attempt.StartTimeUnixNano < span.StartTimeUnixNano || attempt.EndTimeUnixNano > span.EndTimeUnixNano {
			t.Errorf("attempt %d is not within the call", i+1)
		}
	}
	var waits []string
	for i, wait := range collector.kind(tracepb.Span_SPAN_KIND_INTERNAL) {
		if string(wait.ParentSpanId) != string(span.SpanId) || wait.StartTimeUnixNano < attempts[i].StartTimeUnixNano || wait.EndTimeUnixNano > attempts[i+1].StartTimeUnixNano {
			t.Errorf("the wait before attempt %d does not begin after the one before, and end before it: %v", i+2, wait)
		}
		waits = append(waits, wait.Name+" "+attribute(wait.Attributes, "outrider.attempt")+" "+attribute(wait.Attributes, "outrider.reason"))
	}
	if want := []string{"backoff 2 status 503", "backoff 3 status 503"}; !slices.Equal(waits, want) || len(span.Events) != 0 {
		t.Errorf("the call waited for %q and has the events %v, want %q and none", waits, span.Events, want)
	}

	lines := r.logged("call")
	if len(lines) != 1 || lines[0]["trace_id"] != caller || lines[0]["attempts"] != 3.0 {
		t.Errorf("the access log says %v", lines)
	}
	var recent []struct {
		TraceID string `json:"trace_id"`
		Tries   []struct{ Status int }
		Waits   []struct{ Kind string }
	}
	if err := json.Unmarshal([]byte(calls), &recent); err != nil || len(recent) != 1 ||
		recent[0].TraceID != caller || len(recent[0].Tries) != 3 || len(recent[0].Waits) != 2 {
		t.Errorf("/api/calls says %s (%v)", calls, err)
	}
}

// Calls that come when there is no token wait for one request. It is a trace of its own,
// to which they all lead.
func TestCallsLeadToTheRefreshThatTheyWaitedFor(t *testing.T) {
	collector := receive(t)
	sim, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", sim.Grant("demo", "").RefreshToken)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n[telemetry]\nendpoint = %q\n", t.TempDir(), collector.url)+rotating(base, "answer=slow&delay=200ms"))
	const calls = 4
	var making sync.WaitGroup
	for range calls {
		making.Go(func() {
			if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
		})
	}
	making.Wait()
	r.halt()

	var refresh *tracepb.Span
	waits := map[string]*tracepb.Span{} // trace → wait
	for _, span := range collector.kind(tracepb.Span_SPAN_KIND_INTERNAL) {
		if span.Name == "token refresh" {
			refresh = span
		} else {
			waits[hex.EncodeToString(span.TraceId)] = span
		}
	}
	if refresh == nil || len(refresh.ParentSpanId) != 0 || len(refresh.Links) != 1 {
		t.Fatalf("the refresh is %v", refresh)
	}
	if cause := hex.EncodeToString(refresh.Links[0].TraceId); waits[cause] == nil {
		t.Errorf("it leads to %s, and the calls that waited are %v", cause, waits)
	}
	for _, server := range collector.kind(tracepb.Span_SPAN_KIND_SERVER) {
		wait := waits[hex.EncodeToString(server.TraceId)]
		if wait == nil || wait.Name != "token wait" || string(wait.ParentSpanId) != string(server.SpanId) ||
			len(wait.Links) != 1 || string(wait.Links[0].SpanId) != string(refresh.SpanId) || string(wait.Links[0].TraceId) != string(refresh.TraceId) {
			t.Errorf("a call waited as %v, and the refresh is %v", wait, refresh)
		}
	}
	if len(waits) != calls {
		t.Errorf("%d of %d calls waited", len(waits), calls)
	}
	requests := 0
	for _, client := range collector.kind(tracepb.Span_SPAN_KIND_CLIENT) {
		if string(client.ParentSpanId) == string(refresh.SpanId) {
			requests++
		}
	}
	if requests != 1 {
		t.Errorf("the refresh has %d requests", requests)
	}
}

// peek gives what was written down, and leaves it there.
func (l *ledger) peek() []asked {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// A moody upstream reads every request whole and then does one of several
// things, most of them bad. It counts what it got.
type moody struct {
	mu     sync.Mutex
	chance *rand.Rand
	got    map[string]int // call → requests
}

func (m *moody) note(head string) (mood int, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	line, _, _ := strings.Cut(head, "\r\n")
	id := strings.TrimPrefix(strings.Fields(line)[1], "/")
	m.got[id]++
	mood = m.chance.IntN(6)
	return mood, mood < 2
}

func (m *moody) serve(conn net.Conn, r *bufio.Reader) {
	for {
		h := head(r)
		if !strings.HasSuffix(h, "\r\n\r\n") {
			return
		}
		if strings.HasPrefix(h, "POST ") {
			if _, err := r.Discard(len("body")); err != nil {
				return
			}
		}
		mood, more := m.note(h)
		// An answer after which the connection ends says so: otherwise the next
		// request could be on its way already, and arrive nowhere.
		_, _ = io.WriteString(conn, [...]string{
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
			"",
			"HTTP/1.1 200 O",
			"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nonly",
			"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\nend",
		}[mood])
		if !more {
			if mood < 5 {
				_ = conn.(*net.TCPConn).SetLinger(0) // Close resets
			}
			return
		}
	}
}

// Whatever happens on the wire, spans and counts say what really was there.
func TestSpansCountTheRequestsThatTheUpstreamGot(t *testing.T) {
	collector := receive(t)
	m := &moody{chance: rand.New(rand.NewPCG(1, 2)), got: map[string]int{}}
	address := rawUpstream(t, m.serve)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = "http://%s"
retry = { attempts = 4, base = "1ms", cap = "2ms" }
circuit = { min_calls = 100000, failure_run = 100000, consecutive = 100000 }
`, collector.url, address))
	const calls = 200
	told := make([]int, calls) // attempts, as the answer has them
	var making sync.WaitGroup
	for i := range calls {
		making.Go(func() {
			method, body := "GET", io.Reader(nil)
			if i%4 == 0 {
				method, body = "POST", strings.NewReader("body")
			}
			req, _ := http.NewRequestWithContext(t.Context(), method, r.url("/api/"+strconv.Itoa(i)), body)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
			resp, err := client.Do(req)
			if err != nil {
				told[i] = -1 // broken off inside its head: nothing was told
				return
			}
			defer func() { _ = resp.Body.Close() }()
			_, _ = io.Copy(io.Discard, resp.Body)
			told[i] = 1
			if text := resp.Header.Get("Outrider-Attempts"); text != "" {
				told[i], _ = strconv.Atoi(text)
			}
		})
	}
	making.Wait()
	_, metrics := r.ask("GET", "/metrics")
	r.halt()

	m.mu.Lock()
	defer m.mu.Unlock()
	total := 0
	for i := range calls {
		got := m.got[strconv.Itoa(i)]
		total += got
		if told[i] >= 0 && told[i] != got {
			t.Errorf("call %d: Outrider-Attempts says %d, the upstream got %d", i, told[i], got)
		}
		if i%4 == 0 && got != 1 {
			t.Errorf("call %d, a POST: the upstream got it %d times", i, got)
		}
	}
	if total <= calls {
		t.Fatalf("the upstream got %d requests for %d calls: nothing was retried", total, calls)
	}
	attempts, servers := collector.kind(tracepb.Span_SPAN_KIND_CLIENT), collector.kind(tracepb.Span_SPAN_KIND_SERVER)
	if len(attempts) != total || len(servers) != calls {
		t.Errorf("%d CLIENT and %d SERVER spans; the upstream got %d requests, for %d calls", len(attempts), len(servers), total, calls)
	}
	perTrace := map[string]int{}
	for _, span := range attempts {
		perTrace[hex.EncodeToString(span.TraceId)]++
	}
	for _, line := range r.logged("call") {
		id := strings.TrimPrefix(line["path"].(string), "/")
		if n := float64(m.got[id]); line["attempts"] != n || float64(perTrace[line["trace_id"].(string)]) != n {
			t.Errorf("call %s: the log says %v attempts, its trace has %d, the upstream got %v", id, line["attempts"], perTrace[line["trace_id"].(string)], n)
		}
	}
	counted, series := 0.0, ""
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "http_client_request_duration_seconds_count{") {
			series += line
			n, _ := strconv.ParseFloat(strings.Fields(line)[len(strings.Fields(line))-1], 64)
			counted += n
		}
	}
	if int(counted) != total {
		byStatus := map[string]int{}
		for _, span := range attempts {
			for _, a := range span.Attributes {
				if a.Key == "http.response.status_code" || a.Key == "error.type" {
					byStatus[a.Key+" "+a.Value.String()]++
				}
			}
		}
		t.Errorf("the metrics count %v requests, the upstream got %d; by the spans %v, by the metrics\n%s", counted, total, byStatus, series)
	}
}

// Go's transport sends a request once more, and tells nobody, where a connection that has
// served before ends under it. Here connections are kept and end so all the time, while
// calls are made side by side: each request that the simulator has counted is a span, and
// those of a call are counted from one on.
func TestResendsOnKeptConnectionsAreSpans(t *testing.T) {
	collector := receive(t)
	sim, base := identity(t)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = %q
retry = { attempts = 4, base = "1ms", cap = "2ms", budget = "100%%" }
circuit = { min_calls = 100000, failure_run = 100000, consecutive = 100000 }
`, collector.url, base))
	paths := []string{"/fault/reset-before?p=0.3", "/fault/close?p=0.3", "/fault/last-of-connection?p=0.3", "/fault/503?p=0.2", "/echo"}
	const callers, calls = 8, 25 // each
	var making sync.WaitGroup
	for caller := range callers {
		making.Go(func() {
			for i := range calls {
				path := paths[(caller+i)%len(paths)]
				req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/api"+path), nil)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	making.Wait()
	r.halt()

	byPath, resends := map[string]int64{}, map[string][]string{} // trace → the counts of its spans
	attempts := collector.kind(tracepb.Span_SPAN_KIND_CLIENT)
	for _, span := range attempts {
		path, _, _ := strings.Cut(strings.TrimPrefix(attribute(span.Attributes, "url.full"), base), "?")
		byPath[path]++
		id := hex.EncodeToString(span.TraceId)
		resends[id] = append(resends[id], attribute(span.Attributes, "http.request.resend_count"))
	}
	stats := sim.Stats()
	if !maps.Equal(byPath, stats.Paths) || int64(len(attempts)) != stats.Requests {
		t.Errorf("the spans are of %v, the simulator got %v", byPath, stats.Paths)
	}
	if len(attempts) <= callers*calls {
		t.Errorf("%d requests for %d calls: nothing was sent again", len(attempts), callers*calls)
	}
	for id, counts := range resends {
		for i, count := range counts {
			want := ""
			if i > 0 {
				want = strconv.Itoa(i)
			}
			if count != want {
				t.Errorf("the spans of %s are counted %q", id, counts)
				break
			}
		}
	}
}

func TestStatusTellsOfTracesThatWereLost(t *testing.T) {
	clearTelemetryVariables(t)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	refusing := upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	server := upstream(t, echoTarget)
	r := launch(t, fmt.Sprintf("[telemetry]\nendpoint = %q\n", refusing.URL)+api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/x"))
	eventually(t, "what was lost", func() (bool, string) {
		var view statusView
		_, text := r.ask("GET", "/api/status")
		if err := json.Unmarshal([]byte(text), &view); err != nil {
			return false, err.Error()
		}
		if len(view.Lost) == 0 || view.Lost[0].Dropped < 2 {
			return false, text
		}
		var out strings.Builder
		printStatus(&out, view)
		return strings.Contains(out.String(), "traces: 2 dropped since ") && strings.Contains(out.String(), "403"), out.String()
	})
}

// A collector that takes connections and says nothing costs no call anything,
// and cannot keep the sidecar from ending.
func TestHangingCollectorHoldsNothingUp(t *testing.T) {
	if !apart(t) {
		return
	}
	clearTelemetryVariables(t)
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	server := upstream(t, echoTarget)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf("[telemetry]\nendpoint = %q\n", hanging.URL)+api(server.Listener.Addr().String()))
	for range 600 { // more than one export batch
		if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
			t.Fatalf("got %d", resp.StatusCode)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop(context.Background()) }()
	select {
	case err := <-stopped:
		t.Logf("stopped: %v", err)
	case <-time.After(patience):
		t.Fatal("the sidecar does not end: its collector hangs")
	}
}
