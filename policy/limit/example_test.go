package limit_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// Two calls an hour for each host. The third is told at once when to come back.
func Example() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
	}))
	defer provider.Close()

	quotas, err := limit.New([]limit.Table{{Name: "limit", Settings: limit.Settings{
		Count: 2, Per: time.Hour, Kind: pace.Window,
		MaxWait: 30 * time.Second, MaxQueue: 10_000,
		Learn: true,
	}}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	byHost := func(req *http.Request) string { return req.URL.Host }
	way := limit.Way{Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}}}
	client := &http.Client{Transport: quotas.Wrap(way)(http.DefaultTransport)}

	for range 3 {
		resp, err := client.Get(provider.URL)
		var refused *limit.RefusedError
		if errors.As(err, &refused) {
			fmt.Println(refused.Reason, "try again in", refused.RetryAfter.Round(time.Minute))
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s\n", body)
	}
	// Output:
	// hello
	// hello
	// queue-timeout try again in 1h0m0s
}
