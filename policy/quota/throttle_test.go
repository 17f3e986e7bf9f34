package quota_test

import (
	"strings"
	"testing"
	"time"

	"outrider/policy/quota"
)

func TestThrottleOfGraphQL(t *testing.T) {
	body := `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":752,"actualQueryCost":null,
		"throttleStatus":{"maximumAvailable":1000.0,"currentlyAvailable":552,"restoreRate":50.0}}}}`
	got, ok := quota.ParseThrottle([]byte(body), arrival)
	want := quota.Throttle{
		View:    quota.View{Bucket: "graphql", Unit: quota.Points, Limit: n(1000), Remaining: n(552), Reset: in(8960 * time.Millisecond), Refill: quota.Gradual, Restore: 50, Asked: n(752)},
		Refused: true,
	}
	if !ok || got != want {
		t.Fatalf("%+v, %v", got, ok)
	}
	if back := got.View.Back(got.View.Asked.N, arrival); !back.Equal(in(4 * time.Second)) { // (752 - 552) / 50
		t.Errorf("back at %v", back)
	}
}

func TestThrottleOfAnAnswerWithData(t *testing.T) {
	body := `{"data":{"shop":{"name":"Acme"}},"extensions":{"cost":{"requestedQueryCost":2,"actualQueryCost":2,
		"throttleStatus":{"maximumAvailable":1000.0,"currentlyAvailable":1200,"restoreRate":0}}}}`
	got, ok := quota.ParseThrottle([]byte(body), arrival)
	want := quota.Throttle{View: quota.View{Bucket: "graphql", Unit: quota.Points, Limit: n(1000), Remaining: n(1000), Refill: quota.Gradual, Asked: n(2), Taken: n(2)}}
	if !ok || got != want {
		t.Fatalf("%+v, %v", got, ok)
	}
}

// What the points are is found wherever they stand, and behind any data.
func TestThrottleBehindData(t *testing.T) {
	const cost = `"extensions":{"cost":{"requestedQueryCost":2,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":998,"restoreRate":50}}}`
	data := `"data":{"notes":["` + strings.Repeat("x", 300<<10) + `"]}`
	for name, test := range map[string]struct {
		body    string
		refused bool
	}{
		"after it":                      {`{` + data + `,` + cost + `}`, false},
		"before it":                     {`{` + cost + `,` + data + `}`, false},
		"before other extensions in it": {`{` + cost + `,"data":{"extensions":{"cost":{"throttleStatus":{}}}}}`, false},
		"before extensions of an error": {`{` + cost + `,"errors":[{"extensions":{"code":"OTHER"}}]}`, false},
		"and a word that is data":       {`{"data":"THROTTLED",` + cost + `}`, false},
		"of an error by its numbers":    {`{"errors":[{"extensions":{"code":"\u0054HROTTLED"}}],` + data + `,` + cost + `}`, true},
		"and a part that was throttled": {`{"errors":[{"extensions":{"code":"THROTTLED"}}],` + data + `,` + cost + `}`, true},
	} {
		got, ok := quota.ParseThrottle([]byte(test.body), arrival)
		if !ok || got.View.Remaining != n(998) || got.Refused != test.refused {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestThrottleThatMakesNoSense(t *testing.T) {
	status := func(s string) string { return `{"extensions":{"cost":{"throttleStatus":` + s + `}}}` }
	for name, body := range map[string]string{
		"nothing":              ``,
		"another document":     `{"data":{}}`,
		"no object":            `[1,2]`,
		"cut off":              `{"extensions":{"cost":{"throttleStatus":{"maximumAvailable":1000`,
		"no rest":              status(`{"maximumAvailable":1000,"restoreRate":50}`),
		"no maximum":           status(`{"currentlyAvailable":10,"restoreRate":50}`),
		"a maximum of 0":       status(`{"maximumAvailable":0,"currentlyAvailable":0,"restoreRate":50}`),
		"a negative maximum":   status(`{"maximumAvailable":-1,"currentlyAvailable":10,"restoreRate":50}`),
		"a negative rest":      status(`{"maximumAvailable":1000,"currentlyAvailable":-10,"restoreRate":50}`),
		"more than a float is": status(`{"maximumAvailable":1e999,"currentlyAvailable":10,"restoreRate":50}`),
		"absurd":               status(`{"maximumAvailable":1e300,"currentlyAvailable":10,"restoreRate":50}`),
		"a dust of points":     status(`{"maximumAvailable":5e-324,"currentlyAvailable":0,"restoreRate":5e-324}`),
		"words":                status(`{"maximumAvailable":"many","currentlyAvailable":10,"restoreRate":50}`),
		"too long":             status(`{"maximumAvailable":1000,"currentlyAvailable":10,"restoreRate":50}`) + strings.Repeat(" ", quota.MaxThrottleBody),
	} {
		if got, ok := quota.ParseThrottle([]byte(body), arrival); ok || got != (quota.Throttle{}) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// A rate that would need years, or none, gives no reset; the counts stay.
func TestThrottleWithoutAReset(t *testing.T) {
	for _, rate := range []string{"0", "-50", "0.000001", "1e300"} {
		body := `{"extensions":{"cost":{"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":10,"restoreRate":` + rate + `}}}}`
		got, ok := quota.ParseThrottle([]byte(body), arrival)
		if !ok || !got.View.Reset.IsZero() || got.View.Remaining != n(10) {
			t.Errorf("%s: %+v, %v", rate, got, ok)
		}
	}
}

func FuzzParseThrottle(f *testing.F) {
	f.Add([]byte(`{"errors":[{"extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":752,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":552,"restoreRate":50}}}}`))
	f.Add([]byte(`{"extensions":{"cost":{"throttleStatus":{"maximumAvailable":1e14,"currentlyAvailable":0,"restoreRate":1e-300}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := quota.ParseThrottle(body, arrival)
		if !ok {
			return
		}
		inBounds(t, got.View)
		if back := got.View.Back(got.View.Asked.N, arrival); !back.IsZero() && (back.Before(arrival) || back.After(in(quota.MaxReset))) {
			t.Errorf("back at %v: %+v", back, got)
		}
	})
}
