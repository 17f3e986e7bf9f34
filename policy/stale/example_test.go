package stale_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/policy/stale"
)

// An upstream answers once, and fails from then on.
func Example() {
	down := false
	upstream := trip(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 5, Body: io.NopCloser(strings.NewReader("sunny")), Request: req}
		if down {
			resp.StatusCode = 503
		}
		return resp, nil
	})
	stage := stale.New(stale.Settings{
		Keep: 10 * time.Minute,
		Judge: func(_ *http.Request, resp *http.Response, _ error) (stale.Outcome, stale.Failure) {
			if resp.StatusCode >= 500 {
				return stale.Failed, stale.Failure{Status: resp.StatusCode, Reason: "down"}
			}
			return stale.Good, stale.Failure{}
		},
	}, new(stale.Store))
	client := http.Client{Transport: stage.Wrap(func(*http.Request) string { return "mine" })(upstream)}

	for range 2 {
		resp, err := client.Get("https://weather.example/today")
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%d %s %q\n", resp.StatusCode, text, resp.Header["Cache-Status"])
		down = true
	}
	// Output:
	// 200 sunny []
	// 200 sunny ["outrider; fwd=stale; fwd-status=503; detail=\"down\""]
}

type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }
