package breaker_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// roomy is a context with a Room.
type roomy struct {
	context.Context
	room breaker.Room
}

func (c *roomy) Value(key any) any {
	if key == (breaker.RoomKey{}) {
		return &c.room
	}
	return c.Context.Value(key)
}

// TestSecondRequestFindsTheRoomAsItWas: a second request beside the first of its call finds the
// room of that, and looks at the wait there when it goes out, while the first has its answer.
// What watches the body of that wrote to the wait. Only the race detector tells.
func TestSecondRequestFindsTheRoomAsItWas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := make(chan bool, 1)
		sending := func(g *breaker.Group, before, after time.Duration) http.RoundTripper {
			return g.Wrap(byHost)(answering(func(req *http.Request) (*http.Response, error) {
				time.Sleep(before)
				breaker.Begun(req.Context(), time.Now())
				sent <- true
				time.Sleep(after)
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("body"))}, nil
			}))
		}
		g := newGroup(t, patient(), nil)
		for range 20 {
			policytest.Do(sending(g, 0, 0), hostRequest(t, 1))
			<-sent
		}
		impatient := patient()
		impatient.Overdue = 0 // so it has no room of its own
		ctx := &roomy{Context: t.Context()}
		go policytest.Do(sending(g, 0, time.Second), hostRequest(t, 1).WithContext(ctx))
		<-sent
		go policytest.Do(sending(newGroup(t, impatient, g), 2*time.Second, 0), hostRequest(t, 1).WithContext(ctx))
		<-sent
	})
}
