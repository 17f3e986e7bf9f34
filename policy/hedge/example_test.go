package hedge_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy/hedge"
)

// A provider answers within 20 ms, but for one request, which meets a server that is busy.
// The second request meets another one.
func Example() {
	stage := hedge.New(hedge.Settings{
		OnEnd: func(_ context.Context, e hedge.Event) { fmt.Println("the second request", e.Outcome) },
	}, nil)
	var requests atomic.Int32
	client := stage.Wrap(nil)(roundTripper(func(req *http.Request) (*http.Response, error) {
		hedge.Begun(req.Context())
		took := 20 * time.Millisecond
		if requests.Add(1) == 21 {
			took = time.Minute
		}
		select {
		case <-time.After(took):
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}))

	for range 21 {
		req, _ := http.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
		resp, err := client.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println(requests.Load(), "requests for 21 calls")
	// Output:
	// the second request won
	// 22 requests for 21 calls
}
