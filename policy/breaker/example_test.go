package breaker_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"outrider/policy/breaker"
)

// A provider that answers 500 is left alone after four failures, and asked
// again when its time has come.
func Example() {
	group, err := breaker.New(breaker.Settings{
		Window: 30 * time.Second, MinCalls: 4, FailureRatio: 0.5,
		Open: 5 * time.Second, OpenMax: time.Minute,
		Outcome: func(_ *http.Request, resp *http.Response, err error) breaker.Outcome {
			if err != nil || resp.StatusCode >= 500 {
				return breaker.Failure
			}
			return breaker.Success
		},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	provider := answering(func(*http.Request) (*http.Response, error) { return status(500) })
	circuit := group.Wrap(func(req *http.Request) string { return req.URL.Host })(provider)

	for range 5 {
		req, _ := http.NewRequest("GET", "https://api.example.com/things", nil)
		resp, err := circuit.RoundTrip(req)
		if open, ok := errors.AsType[*breaker.OpenError](err); ok {
			_, wait := open.Refusal()
			fmt.Println("refused, come again in", wait.Round(time.Second))
			continue
		}
		fmt.Println(resp.StatusCode)
		resp.Body.Close()
	}
	// Output:
	// 500
	// 500
	// 500
	// 500
	// refused, come again in 5s
}
