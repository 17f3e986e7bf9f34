package cli

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/simulator"
)

// longestHint is how long a vector may wait for hints on real sockets, where all are
// played at the same time.
const longestHint = 5 * time.Second

// unplayable says why a vector cannot be played on real sockets; "": it can.
func (v *vector) unplayable() string {
	var hinted time.Duration // and waited for
	refused, last := 0, len(v.Upstream)-1
	for i, step := range v.Upstream {
		switch {
		case step.Error == "stream":
			return "the simulator refuses no streams"
		case step.Error == "refused":
			refused++
		case i < last:
			hinted += step.hint()
		}
	}
	switch {
	case refused > 0 && refused <= last:
		return "where nobody listens, nobody does a moment later"
	case v.Beyond == "answer":
		return "the simulator has bodies of its own"
	case hinted > longestHint:
		return "no test waits that long"
	case v.timed() && (last > 0 || v.Upstream[0].Error != "timeout" && v.Upstream[0].hint() == 0):
		return "its times are a matter of chance"
	}
	return ""
}

// timed reports that something ends the call.
func (v *vector) timed() bool {
	return v.Call.Deadline > 0 || v.Call.Leaves > 0 || v.Settings.Timeout != ""
}

// hangs reports that there is an attempt that has to be given up.
func (v *vector) hangs() bool {
	return slices.ContainsFunc(v.Upstream, func(s vectorStep) bool { return s.Error == "timeout" })
}

// hint is when to come back, as a step says it in seconds, milliseconds or by date; 0: it
// does not.
func (s *vectorStep) hint() time.Duration {
	if at, err := http.ParseTime(s.Header["Retry-After"]); err == nil {
		now, _ := http.ParseTime(s.Header["Date"])
		return at.Sub(now)
	}
	return max(0, secondsOf(s.Header["Retry-After"])+secondsOf(s.Header["retry-after-ms"])/1000)
}

// A playground is where vectors are played: the simulator, and the ways to it.
type playground struct {
	sim    *simulator.Simulator
	plain  string // base URL
	secure *httptest.Server
	caFile string // with which secure is trusted
}

func newPlayground(t *testing.T) *playground {
	t.Helper()
	sim, address := simulated(t)
	p := &playground{sim: sim, plain: "http://" + address, secure: httptest.NewUnstartedServer(sim), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	p.secure.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it breaks off
	p.secure.StartTLS()
	t.Cleanup(func() { _ = sim.Close(); p.secure.Close() })
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.secure.Certificate().Raw})
	if err := os.WriteFile(p.caFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// quickly is the upstream of a vector, whose own waits are too short to be noticed.
func (p *playground) quickly(t *testing.T, v *vector, name string) string {
	t.Helper()
	more := map[string]string{"url": strconv.Quote(p.plain), "retry.base": `"1ms"`, "retry.cap": `"2ms"`}
	if v.hangs() && !v.timed() {
		more["attempt_timeout"] = `"1s"`
	}
	if v.Settings.OAuth2 {
		maps.Copy(more, oauth2(p.plain+"/oauth/token", name))
	}
	switch v.Upstream[0].Error {
	case "refused":
		more["url"] = `"http://127.0.0.1:1"` // tcpmux: nobody listens
	case "certificate":
		more["url"] = strconv.Quote(p.secure.URL)
	case "unsent", "handshake", "permanent":
		// What is on this machine is reached without a proxy: it has another name here.
		more["url"], more["ca_file"] = `"https://example.com"`, strconv.Quote(p.caFile)
		more["proxy"] = strconv.Quote(v.proxy(t, p.secure.Listener.Addr().String()))
	}
	return v.document(name, more)
}

// proxy is one that lets nothing through where the vector says so, and else leads to a
// provider.
func (v *vector) proxy(t *testing.T, provider string) (url string) {
	var asked atomic.Int32
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		switch v.Upstream[asked.Add(1)-1].Error {
		case "unsent":
			w.WriteHeader(http.StatusBadGateway)
		case "permanent":
			w.WriteHeader(http.StatusProxyAuthRequired)
		case "handshake":
			letThrough(t, w, nil)
		default:
			conn, err := net.Dial("tcp", provider)
			if err != nil {
				t.Error(err)
				return
			}
			letThrough(t, w, conn)
		}
	})
	return server.URL
}

// letThrough answers a CONNECT, and passes bytes on until one end is closed, which the other
// sees as it was. Without a provider that is at once.
func letThrough(t *testing.T, w http.ResponseWriter, provider net.Conn) {
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = client.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	if provider == nil {
		return
	}
	defer func() { _ = provider.Close() }()
	go func() {
		_, _ = io.Copy(provider, client)
		_ = provider.Close()
	}()
	if _, err := io.Copy(client, provider); err != nil {
		_ = client.(*net.TCPConn).SetLinger(0) // Close resets
	}
}

// script is what the simulator does, as the query of a call. What is not sent never comes
// to it.
func (v *vector) script() string {
	script := make(url.Values)
	for _, step := range v.Upstream {
		do := strconv.Itoa(step.Status)
		switch {
		case step.Broken:
			do = "truncate"
		case step.Error == "reset":
			do = "reset"
		case step.Error == "timeout":
			do = "hang"
		case step.Error != "":
			continue
		}
		for field, value := range step.Header {
			do += "|" + field + ": " + value
		}
		script.Add("do", do)
	}
	return script.Encode()
}

// A played is a vector that was played.
type played struct {
	vector
	upstream      string // its name
	first, answer vectorAnswer
}

// TestVectorsAgainstTheSimulator plays the vectors through a sidecar on real sockets: what
// the client gets, what the provider counts, what the metrics say, and the spans that
// arrive at a collector.
func TestVectorsAgainstTheSimulator(t *testing.T) {
	t.Setenv("VECTOR_SECRET", "secret")
	collector, p := receive(t), newPlayground(t)
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[telemetry]\nendpoint = %q\n", t.TempDir(), collector.url)
	var all []*played
	for i, v := range readVectors(t) {
		if reason := v.unplayable(); reason != v.Unplayed {
			t.Errorf("%s: unplayed is %q, and should be %q", v.Name, v.Unplayed, reason)
		} else if reason == "" {
			v := &played{vector: v, upstream: "v" + strconv.Itoa(i)}
			if key := v.Call.Header["Idempotency-Key"]; key != "" {
				v.Call.Header["Idempotency-Key"] = v.own(key)
			}
			all = append(all, v)
			document += p.quickly(t, &v.vector, v.upstream)
		}
	}
	r := launchUnstopped(t, "", document)
	var playing sync.WaitGroup
	for _, v := range all {
		playing.Go(func() { v.play(t, r, p.sim) })
	}
	playing.Wait()
	_, metrics := r.ask("GET", "/metrics")
	r.halt()
	stats, traces := p.sim.Stats(), collector.received()
	for _, v := range all {
		v.checkAnswer(t, v.answer)
		v.checkCounts(t, stats, metrics)
		v.checkSpans(t, traces)
	}
}

// own is the name of an idempotency key that no other vector has.
func (v *played) own(key string) string { return v.upstream + " " + key }

func (v *played) play(t *testing.T, r *running, sim *simulator.Simulator) {
	if v.Settings.Open {
		if _, err := r.live.Load().OrderCircuits(t.Context(), policy.CircuitOrder{Upstream: v.upstream, Open: true}); err != nil {
			t.Error(err)
		}
	}
	ctx, leave := context.WithTimeout(t.Context(), patience)
	defer leave()
	if v.Call.Leaves > 0 {
		go v.leaveWhenSent(ctx, sim, leave)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	v.first, v.answer = v.calls(ctx, t, client, r.url("/"+v.upstream+v.path()+"?"+v.script()))
}

// leaveWhenSent lets the client go when its request has arrived.
func (v *played) leaveWhenSent(ctx context.Context, sim *simulator.Simulator, leave func()) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && sim.Stats().Paths[v.path()] == 0 {
		<-tick.C
	}
	leave()
}

// path is the vector's at the simulator.
func (v *played) path() string { return "/fault/script/" + v.upstream }

// checkCounts looks at what the simulator and the metrics count.
func (v *played) checkCounts(t *testing.T, stats simulator.Stats, metrics string) {
	t.Helper()
	_, requests, gaveUp := v.story()
	if v.Call.Before != "" {
		requests++ // each of these calls is one request
	}
	if sent := stats.Paths[v.path()]; sent != int64(requests) {
		t.Errorf("%s: %d requests arrived, want %d", v.Name, sent, requests)
	}
	v.checkKeys(t, stats)
	if v.Call.Before != "" {
		return // the metrics tell of both
	}
	counts := make(map[string]int) // line of the metrics → its number
	for _, line := range v.Spans {
		if number, reason, _ := strings.Cut(line, ": "); strings.HasPrefix(number, "retry ") {
			counts[fmt.Sprintf("outrider_retries_total{reason=%q,upstream=%q}", reason, v.upstream)]++
		}
	}
	if gaveUp != "" {
		counts[fmt.Sprintf("outrider_give_ups_total{reason=%q,upstream=%q}", gaveUp, v.upstream)]++
	}
	for line, n := range counts {
		if line = fmt.Sprintf("%s %d\n", line, n); !strings.Contains(metrics, line) {
			t.Errorf("%s: the metrics lack %s", v.Name, line)
		}
	}
}

// checkKeys looks at how often each idempotency key arrived: the caller's own, or one that
// it was told of.
func (v *played) checkKeys(t *testing.T, stats simulator.Stats) {
	t.Helper()
	arrived := make(map[string]int64) // key as the vector has it → how often
	for _, key := range v.Want.Keys {
		arrived[key]++
	}
	for name, n := range arrived {
		key := v.own(name)
		if strings.HasPrefix(name, "minted-") {
			if key = v.minted(name); v.Upstream[0].Header["Idempotency-Key"] == key {
				continue // the provider echoes one of its own
			}
			if len(key) != 36 || key[14] != '7' {
				t.Errorf("%s: the key %q is no UUID of version 7", v.Name, key)
			}
		}
		if name != "" && stats.Keys[key].Received != n {
			t.Errorf("%s: the key %q arrived %d times, want %d", v.Name, key, stats.Keys[key].Received, n)
		}
	}
}

// minted is the key that was told of: of two calls, that of the first is the first.
func (v *played) minted(name string) string {
	told := v.answer
	if v.Call.Before != "" && name == "minted-1" {
		told = v.first
	}
	return told.header.Get("Idempotency-Key")
}

// checkSpans compares the trace of the call without its times. Of these, one is sure: what
// the server said when to come back was waited for.
func (v *played) checkSpans(t *testing.T, traces map[string][]told) {
	t.Helper()
	var spans []told
	for trace, all := range traces {
		if all[0].server && all[0].attributes["outrider.upstream"] == v.upstream && trace != v.first.header.Get("Outrider-Trace") {
			spans = append(spans, all...)
		}
	}
	if story, want := timeless(storyOf(t, spans)), timeless(v.Spans); !slices.Equal(story, want) {
		t.Errorf("%s: spans:\n%s\nwant:\n%s", v.Name, strings.Join(story, "\n"), strings.Join(want, "\n"))
		return
	}
	var requests []told
	for _, span := range spans {
		if span.attributes["url.full"] != "" {
			requests = append(requests, span)
		}
	}
	for i := 1; i < len(requests) && v.Call.Before == ""; i++ {
		if waited, hint := requests[i].at.Sub(requests[i-1].at), v.Upstream[i-1].hint(); waited < hint {
			t.Errorf("%s: request %d came after %v, the server said %v", v.Name, i+1, waited, hint)
		}
	}
}
