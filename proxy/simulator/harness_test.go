package simulator_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outrider/proxy/simulator"
)

func newSimulator(t *testing.T, set simulator.Settings) *simulator.Simulator {
	t.Helper()
	sim, err := simulator.New(set)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// call makes one request without a socket. headers are name, value, name, value…
func call(sim *simulator.Simulator, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w
}

func get(sim *simulator.Simulator, target string, headers ...string) *httptest.ResponseRecorder {
	return call(sim, "GET", target, "", headers...)
}

// parse reads a JSON answer.
func parse[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// serve runs a simulator on a real socket until the test ends. It returns
// where, and a client that keeps no connection.
func serve(t *testing.T, set simulator.Settings) (*simulator.Simulator, string, *http.Client) {
	t.Helper()
	sim := newSimulator(t, set)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(ln) }()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute, // against a broken test only
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return sim, "http://" + ln.Addr().String(), client
}

// fetch makes a request over the socket and reads the answer to its end.
func fetch(client *http.Client, url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
