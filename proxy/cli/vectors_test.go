package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"outrider/proxy/simulator"
)

// A vector is one call of policy/retry/testdata/vectors.toml, as far as a client and a
// provider can see it.
type vector struct {
	Name string
	Call struct {
		Method, Body   string
		Header         map[string]string
		Once, Overflow bool
		Deadline       time.Duration
		Off, Vouched   bool
	}
	Settings struct {
		Attempts          int
		Statuses          []int
		Unprocessed       []int
		IdempotencyHeader string `toml:"idempotency_header"`
		MintKey           bool   `toml:"mint_key"`
		Budget            *float64
	}
	Upstream []struct {
		Status int
		Header map[string]string
		Error  string
		After  time.Duration
	}
	Want struct {
		Starts  []string
		Status  int
		Keys    []string
		Retries []string
		GiveUp  string `toml:"give_up"`
	}
}

// ends are the errors that the simulator can make: kind → how the call ends if it is the
// last.
var ends = map[string]struct {
	kind   string
	status int
}{"reset": {"reset", 502}, "timeout": {"hang", 504}}

// visible reports whether a vector can be played by the simulator: nothing of it is
// inside of us, and no wait is longer than a test may take.
func (v *vector) visible() bool {
	if v.Call.Once || v.Call.Overflow || v.Call.Deadline > 0 {
		return false
	}
	for _, step := range v.Upstream {
		_, known := ends[step.Error]
		_, waits := step.Header["Retry-After"]
		_, waitsMS := step.Header["retry-after-ms"]
		if step.Error != "" && !known || step.After > 0 || waits && step.Header["Retry-After"] != "-5" || waitsMS {
			return false
		}
	}
	return true
}

// document is the vector's upstream, with waits too short to be noticed.
func (v *vector) document(name, address string) string {
	s := v.Settings
	retry := []string{`base = "1ms"`, `cap = "2ms"`}
	if s.Attempts > 0 {
		retry = append(retry, fmt.Sprint("attempts = ", s.Attempts))
	}
	for key, codes := range map[string][]int{"statuses": s.Statuses, "unprocessed": s.Unprocessed} {
		if codes != nil {
			retry = append(retry, key+" = ["+strings.ReplaceAll(strings.Trim(fmt.Sprint(codes), "[]"), " ", ", ")+"]")
		}
	}
	if s.IdempotencyHeader != "" {
		retry = append(retry, fmt.Sprintf("idempotency_header = %q, mint_key = %v", s.IdempotencyHeader, s.MintKey))
	}
	if s.Budget != nil {
		retry = append(retry, fmt.Sprint("budget = ", *s.Budget))
	}
	return fmt.Sprintf("[upstream.%s]\nurl = \"http://%s\"\nhosts = []\nlimit = []\nattempt_timeout = \"300ms\"\nretry = { %s }\n", name, address, strings.Join(retry, ", "))
}

// request is the vector's call. Its script is in its query, and keys are its own.
func (v *vector) request(t *testing.T, r *running, name string) *http.Request {
	var script url.Values = make(map[string][]string)
	for _, step := range v.Upstream {
		do := strconv.Itoa(step.Status)
		if step.Error != "" {
			do = ends[step.Error].kind
		}
		for field, value := range step.Header {
			do += "|" + field + ": " + value
		}
		script.Add("do", do)
	}
	method := v.Call.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.url("/"+name+"/fault/script/"+name+"?"+script.Encode()), strings.NewReader(v.Call.Body))
	if err != nil {
		t.Fatal(err)
	}
	for field, value := range v.Call.Header {
		req.Header.Set(field, own(name, value, field))
	}
	if v.Call.Off {
		req.Header.Set("Outrider-Retry", "off")
	}
	if v.Call.Vouched {
		req.Header.Set("Outrider-Idempotent", "true")
	}
	return req
}

// own is the value of a header: a key is that of one vector alone.
func own(name, value, field string) string {
	if field == "Idempotency-Key" && value != "" {
		return name + " " + value
	}
	return value
}

// TestVectorsAgainstTheSimulator plays the vectors of the retry stage through a whole
// sidecar: what the provider counts, what the client gets, and what is told of it.
func TestVectorsAgainstTheSimulator(t *testing.T) {
	var file struct{ Vector []vector }
	if _, err := toml.DecodeFile("../../policy/retry/testdata/vectors.toml", &file); err != nil {
		t.Fatal(err)
	}
	sim, address := simulated(t)
	played := make(map[string]*vector) // name of its upstream → vector
	document := ""
	for i := range file.Vector {
		if v := &file.Vector[i]; v.visible() {
			name := "v" + strconv.Itoa(i)
			played[name] = v
			document += v.document(name, address)
		}
	}
	if len(played) < len(file.Vector)/2 {
		t.Fatalf("only %d of %d vectors are played", len(played), len(file.Vector))
	}
	r := launch(t, document)
	answers := make(map[string]*http.Response)
	for name, v := range played {
		resp, err := (&http.Client{Timeout: patience}).Do(v.request(t, r, name))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		_ = resp.Body.Close()
		answers[name] = resp
	}
	stats := sim.Stats()
	_, metrics := r.ask("GET", "/metrics")
	for name, v := range played {
		v.check(t, name, answers[name], stats, metrics)
	}
}

func (v *vector) check(t *testing.T, name string, resp *http.Response, stats simulator.Stats, metrics string) {
	attempts := len(v.Want.Starts)
	number, why, _ := strings.Cut(v.Want.GiveUp, ": ")
	status := v.Want.Status
	if status == 0 {
		status = ends[v.Upstream[attempts-1].Error].status
	}
	wire := ""
	if attempts > 1 {
		wire = strconv.Itoa(attempts)
	}
	should := v.Upstream[attempts-1].Header["x-should-retry"]
	if why == "budget" || why == "attempts" && number != "1" {
		should = "false"
	}
	if sent := stats.Paths["/fault/script/"+name]; sent != int64(attempts) {
		t.Errorf("%s: sent %d times, want %d", v.Name, sent, attempts)
	}
	for what, pair := range map[string][2]string{
		"status":            {strconv.Itoa(resp.StatusCode), strconv.Itoa(status)},
		"Outrider-Attempts": {resp.Header.Get("Outrider-Attempts"), wire},
		"Outrider-Retry":    {resp.Header.Get("Outrider-Retry"), why},
		"X-Should-Retry":    {resp.Header.Get("X-Should-Retry"), should},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s is %q, want %q", v.Name, what, pair[0], pair[1])
		}
	}
	v.checkKeys(t, name, resp, stats)
	reasons := make(map[string]int)
	for _, retry := range v.Want.Retries {
		_, reason, _ := strings.Cut(retry, ": ")
		reasons[reason]++
	}
	for reason, n := range reasons {
		if line := fmt.Sprintf("outrider_retries_total{reason=%q,upstream=%q} %d\n", reason, name, n); !strings.Contains(metrics, line) {
			t.Errorf("%s: the metrics lack %s", v.Name, line)
		}
	}
	if line := fmt.Sprintf("outrider_give_ups_total{reason=%q,upstream=%q} 1\n", why, name); why != "" && !strings.Contains(metrics, line) {
		t.Errorf("%s: the metrics lack %s", v.Name, line)
	}
}

// checkKeys looks at the idempotency key, the caller's or the one that it was told of: it
// arrived as often as the vector says.
func (v *vector) checkKeys(t *testing.T, name string, resp *http.Response, stats simulator.Stats) {
	key := own(name, v.Call.Header["Idempotency-Key"], "Idempotency-Key")
	if key == "" && v.Settings.MintKey && len(v.Want.Keys) > 0 {
		if key = resp.Header.Get("Idempotency-Key"); len(key) != 36 || key[14] != '7' {
			if v.Upstream[0].Header["Idempotency-Key"] == key {
				return // the provider echoes one of its own
			}
			t.Errorf("%s: the key %q is no UUID of version 7", v.Name, key)
		}
	}
	if key != "" && stats.Keys[key].Received != int64(len(v.Want.Keys)) {
		t.Errorf("%s: the key arrived %d times, want %d", v.Name, stats.Keys[key].Received, len(v.Want.Keys))
	}
}
