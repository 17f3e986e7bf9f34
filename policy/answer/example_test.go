package answer_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/policy/answer"
)

// A 429 that no waiting helps.
func Example() {
	provider := roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusTooManyRequests,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(strings.NewReader(`{"error":{"code":"insufficient_quota"}}`)),
			Request:    req,
		}, nil
	})
	stage, err := answer.New(answer.Settings{Rules: []answer.Rule{{
		Statuses: []int{429}, Field: "error.code", Values: []string{"insufficient_quota"}, Means: answer.Exhausted,
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := stage.Wrap(func(_ *http.Request, _ *http.Response, f *answer.Finding, _ time.Time) { fmt.Println(f) })(provider)
	req, _ := http.NewRequest("POST", "https://api.example.com/v1/chat/completions", nil)
	resp, err := client.RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output:
	// quota exhausted: insufficient_quota
	// {"error":{"code":"insufficient_quota"}}
}
