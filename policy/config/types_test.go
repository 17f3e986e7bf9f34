package config_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "10s": 10 * time.Second, "1h30m": 90 * time.Minute, "5m": 5 * time.Minute, "1h": time.Hour, "1m30s": 90 * time.Second,
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
		if d.String() != text {
			t.Errorf("%s is written as %s", text, d)
		}
	}
	refuse[config.Duration](t, "", "5", "5 s", "s", "1d", "1e3s", "canary")
}

func TestSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0B": 0, "500B": 500, "1KB": 1000, "64KiB": 64 << 10, "1MiB": 1 << 20, "1MB": 1e6, "3GiB": 3 << 30, "2TB": 2e12,
	} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: got %d, %v", text, s, err)
		}
		if s.String() != text {
			t.Errorf("%s is written as %s", text, s)
		}
	}
	var s config.Size
	if err := s.UnmarshalText([]byte("1.5MiB")); err != nil || s != 3<<19 {
		t.Errorf("1.5MiB: got %d, %v", s, err)
	}
	refuse[config.Size](t, "", "1", "1mb", "1 MiB", "-1B", "+1B", "1e3B", ".5MiB", "1.MiB", "1.2.3B", "MiB", "9999999TiB", "infB", "canary")
}

func TestRate(t *testing.T) {
	for text, want := range map[string]config.Rate{
		"100/s": {Count: 100, Per: time.Second}, "5000/h": {Count: 5000, Per: time.Hour}, "190/10s": {Count: 190, Per: 10 * time.Second},
		"60/m": {Count: 60, Per: time.Minute}, "1000/d": {Count: 1000, Per: 24 * time.Hour}, "0.5/s": {Count: 0.5, Per: time.Second}, "10/1m30s": {Count: 10, Per: 90 * time.Second},
		"10/15m": {Count: 10, Per: 15 * time.Minute},
	} {
		var r config.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: got %+v, %v", text, r, err)
		}
		if r.String() != text {
			t.Errorf("%s is written as %s", text, r)
		}
	}
	if got := (config.Rate{Count: 190, Per: 10 * time.Second}).PerSecond(); got != 19 {
		t.Errorf("190/10s is %v per second", got)
	}
	if got := (config.Rate{}).PerSecond(); got != 0 {
		t.Errorf("no rate is %v per second", got)
	}
	refuse[config.Rate](t, "", "100", "100/", "/s", "-1/s", "1e3/s", "100/0s", "100/0d", "100/-1s", "100/10", "100/s/s", "nan/s", "canary/s", "100/canary", "1/999999d")
}

func TestRatio(t *testing.T) {
	for text, want := range map[string]config.Ratio{"10%": 0.1, "100%": 1, "0%": 0, "2.5%": 0.025} {
		var r config.Ratio
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: got %v, %v", text, float64(r), err)
		}
		if r.String() != text {
			t.Errorf("%s is written as %s", text, r)
		}
	}
	refuse[config.Ratio](t, "", "%", "-1%", "10 %", "1e1%", "nan", "canary")
}

// refuse checks that the texts are errors, and that the errors do not repeat them.
func refuse[V any, P interface {
	*V
	encoding.TextUnmarshaler
}](t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		var v V
		if err := P(&v).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%T accepts %q", v, text)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%T repeats %q: %v", v, text, err)
		}
	}
}

func FuzzTypes(f *testing.F) {
	for _, text := range []string{"10s", "1MiB", "190/10s", "10%", "1h30m", "1.5GB", "1000/d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		again[config.Duration](t, text)
		again[config.Size](t, text)
		again[config.Rate](t, text)
	})
}

// again checks that what a type writes, it reads as the same value.
func again[V comparable, P interface {
	*V
	encoding.TextUnmarshaler
}](t *testing.T, text string) {
	var first, second V
	if P(&first).UnmarshalText([]byte(text)) != nil {
		return
	}
	written := fmt.Sprint(first)
	if err := P(&second).UnmarshalText([]byte(written)); err != nil || second != first {
		t.Errorf("%T %q is written as %q, which is read as %v, %v", first, text, written, second, err)
	}
}
