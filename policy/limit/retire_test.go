package limit

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
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
	if !d.retire(time.Now(), time.Now()) {
		t.Error("an idle one is kept")
	}
	if err := d.try(time.Now(), &turn{cost: 1}, stations); !errors.Is(err, errRetired) {
		t.Errorf("it gives turns: %v", err)
	}
	if err := d.join(&waiter{}, stations); !errors.Is(err, errRetired) {
		t.Errorf("it has a line: %v", err)
	}
	q.scopes.byName = map[string]*dispatcher{}
	q.scopes.newest.Store(nil)
	req, _ := http.NewRequest("GET", "http://api.example/", nil)
	way := &transport{quotas: q, way: Way{Stops: []Stop{{Key: func(*http.Request) string { return "key" }}}}}
	if err := way.enter(t.Context(), &turn{req: req, cost: 1}, nil); err != nil {
		t.Errorf("no other one: %v", err)
	}
	if q.scopes.get("").retire(time.Now(), time.Now()) {
		t.Error("one with a call on its way is dropped")
	}
}

// Keys come and go, those of tokens that are renewed for instance. One whose last answer
// was a refusal without a time was kept for ever, since no good answer ended its slowness.
func TestQuotaThatWasSlowedDownIsDroppedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := New([]Table{{Settings: Settings{Learn: true}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		way := Way{Stops: []Stop{{Key: func(*http.Request) string { return "key" }}}}
		req, _ := http.NewRequest("GET", "http://api.example/", nil)
		refused := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 429, Body: http.NoBody}, nil
		}
		resp, err := q.Wrap(way)(roundTripper(refused)).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		d := q.scopes.get("")
		if d.retire(time.Now(), time.Now()) {
			t.Error("it is dropped while it is slow")
		}
		time.Sleep(time.Minute)
		if !d.retire(time.Now(), time.Now()) {
			t.Error("it is kept")
		}
	})
}

// Ten thousand tenants that call in turns lost their quotas at each sweep, as these had no
// state at that moment, and each call made them again.
func TestScopesInUseAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, err := New([]Table{{Settings: Settings{Count: 1000, Per: time.Second}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		called := func(from, to int) {
			for i := from; i < to; i++ {
				q.scopes.get(strconv.Itoa(i)).now()
			}
		}
		called(0, 10_000)
		if n := len(q.scopes.byName); n != 10_000 {
			t.Errorf("%d of 10,000 are left", n)
		}
		time.Sleep(scopeRests - 1)
		called(0, 100)
		time.Sleep(1)
		called(10_000, 2*2*maxKeys+1)
		if n := len(q.scopes.byName); n != 100+2*2*maxKeys+1-10_000 {
			t.Errorf("%d are left of those that rested", n)
		}
		called(20_000, 20_000+3*mostScopes)
		if n := len(q.scopes.byName); n > mostScopes {
			t.Errorf("%d are kept", n)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
