package load

import (
	"slices"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ http://127.0.0.1:8203/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.51ms    1.02ms  24.36ms   92.51%
    Req/Sec    22.00k     1.57k   24.32k    75.00%
  43790 requests in 2.00s, 52.94MB read
Requests/sec:  21890.33
Transfer/sec:     26.46MB
`

func TestWrkIsUnderstood(t *testing.T) {
	got, err := parseWrk(wrkOutput)
	if want := (Calls{43790, 21890.33}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestFailedCallsAreNoFigure: a proxy that refuses does so faster than one that calls.
func TestFailedCallsAreNoFigure(t *testing.T) {
	for _, output := range []string{
		wrkOutput + "  Non-2xx or 3xx responses: 207\n",
		wrkOutput + "  Socket errors: connect 0, read 12, write 0, timeout 0\n",
		"  0 requests in 2.00s, 0B read\nRequests/sec:      0.00\n",
		"unable to connect to 127.0.0.1:8203 Connection refused\n",
	} {
		if got, err := parseWrk(output); err == nil {
			t.Errorf("%q is %v", output, got)
		}
	}
}

func TestH2loadIsUnderstood(t *testing.T) {
	got, err := parseH2load("1764211200000000\t200\t310\n1764211200001000\t200\t120\n")
	if want := []time.Duration{120 * time.Microsecond, 310 * time.Microsecond}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestFailedCallsOfH2loadAreNoFigure(t *testing.T) {
	for _, log := range []string{"", "1764211200000000\t503\t310\n", "1764211200000000\t-1\t310\n", "1764211200000000\t200\n", "x\t200\ty\n"} {
		if got, err := parseH2load(log); err == nil {
			t.Errorf("%q is %v", log, got)
		}
	}
}

func TestEventSaysWhenItWasSent(t *testing.T) {
	got, is := sentAt(`data: {"token":3,"sent":1764211200000000017,"padding":"yyy"}`)
	if want := time.Unix(1764211200, 17); !is || !got.Equal(want) {
		t.Errorf("got %v, %v, want %v", got, is, want)
	}
	for _, line := range []string{"", "data: {}", `data: {"sent":soon,"x":1}`} {
		if got, is := sentAt(line); is {
			t.Errorf("%q was sent at %v", line, got)
		}
	}
}

func TestSecondsAreSorted(t *testing.T) {
	got, err := parseSeconds("0.25\n0.001\n")
	if want := []time.Duration{time.Millisecond, 250 * time.Millisecond}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := parseSeconds("Traceback (most recent call last):"); err == nil {
		t.Errorf("an error of Python is %v", got)
	}
}
