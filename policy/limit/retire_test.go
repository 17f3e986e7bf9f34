package limit

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"outrider/policy/pace"
)

// Between the look at the map and the entry the dispatcher may be dropped. Who
// would stay with it had a quota of his own.
func TestNobodyEntersADroppedDispatcher(t *testing.T) {
	q, err := New([]Table{{Settings: Settings{Count: 1, Per: time.Hour, Kind: pace.Window}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stations := []station{{table: q.ids[0], key: "key"}}
	d := q.scopes.get("")
	if !d.retire(time.Now()) {
		t.Error("an idle one is kept")
	}
	if _, _, err := d.try(stations, route{}, 1); !errors.Is(err, errRetired) {
		t.Errorf("it gives turns: %v", err)
	}
	if err := d.join(&waiter{}, stations); !errors.Is(err, errRetired) {
		t.Errorf("it has a line: %v", err)
	}
	q.scopes.byName = map[string]*dispatcher{}
	req, _ := http.NewRequest("GET", "http://api.example/", nil)
	way := &transport{quotas: q, way: Way{Stops: []Stop{{Key: func(*http.Request) string { return "key" }}}}}
	if _, err := way.enter(req); err != nil {
		t.Errorf("no other one: %v", err)
	}
	if q.scopes.get("").retire(time.Now()) {
		t.Error("one with a call on its way is dropped")
	}
}

// A key that was refused once, and is never used again, was kept for ever: only a good
// answer ended what the refusal had begun.
func TestKeyThatWasRefusedOnceIsDropped(t *testing.T) {
	now := time.Now()
	m := newMeter(station{key: "key"}, &Table{Settings: Settings{Learn: true}})
	m.spend(now, 1)
	m.adaptive.Refused(now.Add(time.Millisecond), now)
	if m.idle(now.Add(time.Second)) {
		t.Error("is idle a second later")
	}
	if !m.idle(now.Add(time.Minute)) {
		t.Error("is not idle a minute later")
	}
}
