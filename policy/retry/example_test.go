package retry_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"outrider/policy/retry"
)

// A provider is down for a moment. The GET is sent again until it is served;
// the POST is not, since it may have been applied.
func Example() {
	stage, err := retry.New(retry.Settings{
		Attempts: 3, Base: time.Millisecond, Cap: time.Second,
		Statuses: []int{429, 502, 503, 504},
		Jitter:   func(max time.Duration) time.Duration { return max / 2 },
		Budget:   retry.NewBudget(0.1, nil),
		OnRetry: func(_ context.Context, e retry.Event) {
			fmt.Printf("attempt %d in %v: %s\n", e.Attempt, e.Delay, e.Reason)
		},
		OnGiveUp: func(_ context.Context, e retry.Event) {
			fmt.Println("no other attempt:", e.Reason)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	answers := []int{502, 200, 502}
	client := stage.Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
		status := answers[0]
		answers = answers[1:]
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}))

	for _, method := range []string{"GET", "POST"} {
		req, _ := http.NewRequest(method, "https://api.example.com/orders", nil)
		if resp, err := client.RoundTrip(req); err == nil {
			fmt.Println(method, resp.StatusCode)
		}
	}
	// Output:
	// attempt 2 in 500µs: status 502
	// GET 200
	// no other attempt: unsafe method
	// POST 502
}
