package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"outrider/proxy/telemetry"
)

func TestGaugesOfTheOutbox(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	state, there := telemetry.Outbox{}, false
	r.WatchOutbox(func() (telemetry.Outbox, bool) { return state, there })
	if text := r.metrics(t); strings.Contains(text, "outrider_outbox_up") {
		t.Errorf("there is none, and it is told of:\n%s", text)
	}
	state, there = telemetry.Outbox{
		Upstreams: []telemetry.OutboxLetters{{Upstream: "crm", States: map[string]int{"waiting": 7, "dead": 2}, Oldest: 90 * time.Second}},
		Bytes:     512, Most: 1 << 30,
	}, true
	r.tells(t,
		`outrider_outbox_up 1`,
		`outrider_outbox_size_bytes 512`,
		`outrider_outbox_max_size_bytes 1.073741824e+09`,
		`outrider_outbox_oldest_seconds{upstream="crm"} 90`,
		`outrider_outbox_letters{state="waiting",upstream="crm"} 7`,
		`outrider_outbox_letters{state="dead",upstream="crm"} 2`,
		`outrider_outbox_letters{state="sending",upstream="crm"} 0`,
	)
	state = telemetry.Outbox{Away: true}
	r.tells(t, `outrider_outbox_up 0`)
	if text := r.metrics(t); strings.Contains(text, "outrider_outbox_size_bytes 0") {
		t.Error("it is away, and said to be empty")
	}
}

func TestLettersAreCounted(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	r.LettersKept(t.Context(), "crm", 2)
	r.LetterThere(t.Context(), "crm")
	r.LetterEnded(t.Context(), "crm", "delivered", 90*time.Second)
	r.LetterEnded(t.Context(), "crm", "key-age", 25*time.Hour)
	r.CallbackEnded(t.Context(), "refused")
	r.tells(t,
		`outrider_outbox_accepted_total{result="kept",upstream="crm"} 2`,
		`outrider_outbox_accepted_total{result="duplicate",upstream="crm"} 1`,
		`outrider_outbox_ended_total{result="delivered",upstream="crm"} 1`,
		`outrider_outbox_ended_total{result="key-age",upstream="crm"} 1`,
		`outrider_outbox_callbacks_total{result="refused"} 1`,
		`outrider_outbox_delivery_duration_seconds_sum{upstream="crm"} 90`,
		`outrider_outbox_delivery_duration_seconds_count{upstream="crm"} 1`,
	)
}

// tells asks for lines of the metrics page.
func (r *rig) tells(t *testing.T, lines ...string) {
	t.Helper()
	text := r.metrics(t)
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing %s in\n%s", line, text)
		}
	}
}
