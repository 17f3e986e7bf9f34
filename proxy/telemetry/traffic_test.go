package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// served has a call of crm end after d.
func served(r *rig, d time.Duration, o telemetry.Outcome) {
	_, span, call := r.begin("GET", "crm")
	time.Sleep(d)
	o.Call = call
	span.End(&o)
}

func TestTrafficIsThatOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		if _, ok := r.Traffic("crm"); ok {
			t.Error("traffic before the first call")
		}
		for i := range 100 {
			served(r, time.Duration(i+1)*time.Millisecond, telemetry.Outcome{Status: 200}) // 5.05 s in all
		}
		served(r, 0, telemetry.Outcome{Status: 503})
		served(r, 0, telemetry.Outcome{Class: policy.ClassClientGone})
		served(r, 0, telemetry.Outcome{Class: policy.ClassFault})
		got, ok := r.Traffic("crm")
		if !ok || got.Calls != 103 || got.Failed != 2 || got.Seconds != 5.049 {
			t.Errorf("%v %+v", ok, got.Tally)
		}
		for _, q := range []struct{ got, want float64 }{{got.P50MS, 48}, {got.P95MS, 95}, {got.P99MS, 99}} {
			if q.got < q.want*0.95 || q.got > q.want*1.05 {
				t.Errorf("quantile %v, want %v to within 5 %%", q.got, q.want)
			}
		}
		time.Sleep(time.Minute)
		if got, _ = r.Traffic("crm"); got.Calls != 0 || got.P99MS != 0 || got.Seconds != 55.049 {
			t.Errorf("after a minute without calls: %+v", got)
		}
		sum := 0
		for _, n := range got.Course.Calls {
			sum += n
		}
		if sum != 103 || len(got.Course.Calls) != 60 || got.Course.Calls[59] != 0 {
			t.Errorf("course %v", got.Course)
		}
	})
}

// The newest step has only begun. Divided by a whole minute, ten calls a second were
// 9.2 a second, and by turns ten: a rate that went up and down for no reason.
func TestRateIsSteadyWhenCallsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		for i := range 1000 {
			served(r, 0, telemetry.Outcome{Status: 200})
			time.Sleep(100 * time.Millisecond)
			if got, _ := r.Traffic("crm"); float64(got.Calls) != 10*got.Seconds {
				t.Fatalf("after %d calls: %d in %v s", i+1, got.Calls, got.Seconds)
			}
		}
	})
}

func TestFollowerSeesWhatItsFilterTakes(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	filter, err := telemetry.ParseFilter("crm -2xx")
	if err != nil {
		t.Fatal(err)
	}
	follower := r.Follow(filter)
	for _, status := range []int{200, 503, 204, 404} {
		_, span, call := r.begin("GET", "crm")
		span.End(&telemetry.Outcome{Call: call, Status: status})
	}
	r.Flush()
	calls, lost, err := follower.Next(t.Context(), 10)
	if err != nil || lost != 0 || len(calls) != 2 || calls[0].Status != 503 || calls[1].Status != 404 || calls[0].Number != 2 {
		t.Errorf("%+v, %d lost, %v", calls, lost, err)
	}
	for range 2000 { // whoever does not read holds up nobody
		_, span, call := r.begin("GET", "crm")
		span.End(&telemetry.Outcome{Call: call, Status: 500})
	}
	r.Flush()
	if calls, lost, _ = follower.Next(t.Context(), 500); len(calls) != 500 || lost != 2000-1024 {
		t.Errorf("%d calls, %d lost", len(calls), lost)
	}
	follower.Close()
	_, span, _ := r.begin("GET", "crm")
	span.End(&telemetry.Outcome{Status: 500})
	r.Flush()
	if calls, _, _ = follower.Next(t.Context(), 2000); len(calls) != 524 {
		t.Errorf("after Close %d calls", len(calls))
	}
}

func TestFilters(t *testing.T) {
	record := &telemetry.Record{
		Method: "POST", Upstream: "crm", Host: "crm.test", Path: "/v1/Contacts", Status: 503, Class: policy.ClassFault,
		DurationMS: 600, WaitedMS: 1, Attempts: 2, TraceID: "abcdef", Error: "read: reset",
	}
	for text, want := range map[string]bool{
		"": true, "crm": true, "CRM contacts": true, "crm other": false, "-crm": false, "-other": true, "-": false,
		"503": true, "5xx": true, "404": false, "-5xx": false, ">500ms": true, ">1s": false,
		"failed": true, "waited": true, "retried": true, "problem": false, "-problem": true,
		"upstream:crm": true, "upstream:cr": false, "method:post": true, "path:/v1/contacts": true, "trace:abcdef": true,
		"crm.test:443": false, "reset": true, "class:fault": true, "9xx": false,
	} {
		filter, err := telemetry.ParseFilter(text)
		if err != nil || filter.Match(record) != want {
			t.Errorf("%q: takes it %v, want %v; %v", text, !want, want, err)
		}
	}
	if _, err := telemetry.ParseFilter(strings.Repeat("x ", 32)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{">5", ">", ">-1s", "->x", strings.Repeat("x ", 33)} {
		if _, err := telemetry.ParseFilter(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// A mistyped field was taken for a text that no call has: `outrider tail upstrem:chat` showed
// nothing, for ever. What can be a part of a call goes on to be looked for.
func TestFilterNamesAFieldThatThereIs(t *testing.T) {
	for _, text := range []string{"upstrem:chat", "bogus:x", "-bogus:x", "status:503", "trace_id:4bf9", "models:generate"} {
		_, err := telemetry.ParseFilter(text)
		if err == nil || !strings.Contains(err.Error(), "there is no field") || !strings.Contains(err.Error(), "class, connection, form, host, letter, method") {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := &telemetry.Record{Host: "localhost:8080", Path: "/v1/models:generate", Error: "dial tcp: no route"}
	for _, text := range []string{"localhost:8080", "/models:generate", "v1/models:gen", "tcp:", ":8080", "letter:"} {
		filter, err := telemetry.ParseFilter(text)
		if err != nil || !filter.Match(r) {
			t.Errorf("%s takes no call: %v", text, err)
		}
	}
	if _, err := telemetry.ParseFilter("https://api.test"); err != nil {
		t.Error(err)
	}
}

// A filter comes in the query of whoever reaches the admin port, and is asked of every call.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{"crm -get 5xx", ">500ms -failed", "upstream:crm trace:", "->1h", "-", ":", "\xff"} {
		f.Add(text)
	}
	record := &telemetry.Record{Method: "GET", Upstream: "crm", Path: "/\xff", Status: 503, Class: policy.ClassFault, DurationMS: 600}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := telemetry.ParseFilter(text)
		if err != nil {
			return
		}
		every := true // of its words takes the call
		for word := range strings.FieldsSeq(text) {
			one, err := telemetry.ParseFilter(word)
			if err != nil {
				t.Fatalf("%q is none by itself: %v", word, err)
			}
			every = every && one.Match(record)
		}
		if filter.Match(record) != every {
			t.Errorf("%q takes the call %v, its words %v", text, !every, every)
		}
	})
}

// A failure in a busy minute is still there to be looked at when the calls around it are not.
func TestFailuresAreRememberedBeyondTheLatestCalls(t *testing.T) {
	r := newRig(t, telemetry.Settings{Recent: 3})
	for i := range 9 {
		_, span, _ := r.begin("GET", "crm")
		span.End(&telemetry.Outcome{Status: []int{500, 200, 200, 502, 200, 200, 200, 504, 200}[i]})
	}
	var got []string
	for _, rec := range r.Recent(telemetry.Filter{}) {
		got = append(got, fmt.Sprintf("%d:%d", rec.Number, rec.Status))
	}
	if fmt.Sprint(got) != "[9:200 8:504 7:200 4:502 1:500]" {
		t.Errorf("%v", got)
	}
}
