package cli

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/hashicorp/go-retryablehttp"
)

// attemptTimeout is what each client gives one attempt: as much as Outrider does by default.
const attemptTimeout = 20 * time.Second

// A caller makes one call good, or gives it up.
type caller func(*http.Request) (*http.Response, error)

// A strategyOutage is how the applications call.
type strategyOutage struct {
	name string
	// application is what one of them has of its own. nil: they all share an Outrider.
	application func(w *wire) caller
	document    string // of the shared Outrider
}

var (
	naiveOutage     = strategyOutage{name: "retry x3, after 1s", application: naive}
	retryableOutage = strategyOutage{name: "go-retryablehttp", application: retryable}
	failsafeOutage  = strategyOutage{name: "failsafe-go, retry", application: failsafeRetry}
	breakerOutage   = strategyOutage{name: "failsafe-go, retry and circuit", application: failsafeBreaker}
	// It never sees so many calls that it would open; and no connection is refused here.
	closedOutage  = strategyOutage{name: "Outrider, no circuit", document: keyedRetries + "circuit = { min_calls = 1000000, failure_run = 1000000 }\n"}
	defaultOutage = strategyOutage{name: "Outrider", document: keyedRetries}
	// For a provider that answers within five seconds, if at all.
	quickOutage = strategyOutage{name: "Outrider, short attempts", document: keyedRetries + "attempt_timeout = \"5s\"\n"}

	strategiesOutage = []strategyOutage{naiveOutage, retryableOutage, failsafeOutage, breakerOutage, closedOutage, defaultOutage, quickOutage}
)

// keyedRetries say that the provider knows a charge by its key; it does.
const keyedRetries = "retry = { idempotency_header = \"Idempotency-Key\" }\n"

// callers are those of n applications.
func (s strategyOutage) callers(t *testing.T, w *wire, n int) []caller {
	if s.application == nil {
		return slices.Repeat([]caller{through(t, w, s.document).RoundTrip}, n)
	}
	callers := make([]caller, n)
	for i := range callers {
		callers[i] = s.application(w)
	}
	return callers
}

// failedOutage says of an answer what these clients take for a failure.
func failedOutage(resp *http.Response, err error) bool {
	return err != nil || resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
}

// naive is the usual loop: four attempts, one second between them, whatever the method.
func naive(w *wire) caller {
	client := &http.Client{Transport: w, Timeout: attemptTimeout}
	return func(req *http.Request) (*http.Response, error) {
		for range 3 {
			resp, err := client.Do(rewound(req))
			if !failedOutage(resp, err) {
				return resp, nil
			}
			if err == nil {
				resp.Body.Close()
			}
			if !idle(req.Context(), time.Second) {
				return nil, context.Cause(req.Context())
			}
		}
		return client.Do(rewound(req))
	}
}

// rewound is a request with its body from the beginning.
func rewound(req *http.Request) *http.Request {
	repeated := req.Clone(req.Context())
	if req.GetBody != nil {
		repeated.Body, _ = req.GetBody() // it is in memory
	}
	return repeated
}

// retryable is a client of go-retryablehttp as NewClient makes it: five attempts, after 1,
// 2, 4 and 8 seconds.
func retryable(w *wire) caller {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: w, Timeout: attemptTimeout}
	client.Logger = nil
	return client.StandardClient().Do
}

// failsafeRetry is a client of failsafe-go with the attempts and pauses of Outrider's
// defaults, but at least a second; its own would be two retries without any pause.
func failsafeRetry(w *wire) caller { return failsafeClient(w) }

// failsafeBreaker has a circuit, too, by the measures of Outrider's defaults. Each
// application has its own.
func failsafeBreaker(w *wire) caller {
	return failsafeClient(w, circuitbreaker.NewBuilder[*http.Response]().
		HandleIf(failedOutage).
		WithFailureRateThreshold(0.5, 20, 30*time.Second).
		WithDelay(5*time.Second).
		Build())
}

func failsafeClient(w *wire, circuit ...failsafe.Policy[*http.Response]) caller {
	retries := failsafehttp.NewRetryPolicyBuilder().WithMaxRetries(2).WithBackoff(time.Second, 20*time.Second).
		AbortOnErrors(context.Canceled, context.DeadlineExceeded, circuitbreaker.ErrOpen).Build()
	policies := append([]failsafe.Policy[*http.Response]{retries}, circuit...)
	policies = append(policies, timeout.New[*http.Response](attemptTimeout))
	client := &http.Client{Transport: failsafehttp.NewRoundTripper(w, policies...)}
	return client.Do
}
