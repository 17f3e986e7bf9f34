package quota_test

import (
	"fmt"
	"net/http"
	"time"

	"outrider/policy/quota"
)

// GitHub's clock is an hour ahead of ours; the window ends in ten minutes all
// the same.
func ExampleParse() {
	h := http.Header{}
	h.Set("Date", "Mon, 02 Mar 2026 11:00:00 GMT")
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", "1772449800")
	h.Set("X-RateLimit-Resource", "core")

	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	views := quota.Parse(h, now, nil)
	for _, v := range views {
		fmt.Println(v.Bucket, v.Remaining.N, "of", v.Limit.N, v.Unit)
	}
	until, exhausted := quota.Exhausted(views, http.StatusForbidden, false, now)
	fmt.Println(exhausted, until.Sub(now))
	// Output:
	// core 0 of 5000 requests
	// true 10m0s
}
