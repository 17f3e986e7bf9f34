package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"outrider/policy"
)

// quotaLine is what status says of a quota. A bucket has the provider's name beside the
// key.
func quotaLine(q policy.QuotaStatus) string { return quotaTitle(q) + "\t" + quotaState(q) }

func quotaTitle(q policy.QuotaStatus) string {
	if q.Bucket == "" {
		return q.Key
	}
	return q.Key + " " + q.Bucket + " (learned)"
}

func quotaState(q policy.QuotaStatus) string {
	return strings.Join(append(quotaFacts(q), lineState(q.Waiting, q.Line)), ", ") + until(", closed for ", q.Gate)
}

// quotaFacts leave out what a quota does not have: tokens without a rate, slots without a
// concurrency, and of a bucket what answers do not tell.
func quotaFacts(q policy.QuotaStatus) []string {
	if q.Bucket != "" {
		return bucketFacts(q)
	}
	facts := []string{q.Limit}
	if q.Adapted > 0 {
		facts = append(facts, fmt.Sprintf("slowed down to %.3g a second by refusals", q.Adapted))
	}
	if q.Room > 0 {
		facts = append(facts, fmt.Sprintf("%.1f of %s to spend", q.Tokens, amount(q.Room)))
	}
	if q.Slots > 0 {
		facts = append(facts, fmt.Sprintf("%d under way", q.Active))
	}
	return facts
}

func bucketFacts(q policy.QuotaStatus) []string {
	var facts []string
	if q.Slots > 0 {
		facts = append(facts, fmt.Sprintf("%d at once, %d under way", q.Slots, q.Active))
	}
	known := q.Learned
	if known == nil {
		return facts
	}
	left := amount(math.Floor(known.Remaining))
	if known.Limit > 0 {
		left += " of " + amount(known.Limit)
	}
	facts = append(facts, left+unitText(known.Unit)+" left")
	if q.Utilization != nil {
		facts = append(facts, fmt.Sprintf("%.0f %% used", 100**q.Utilization))
	}
	facts = append(facts, shapeText(known))
	if known.Each > 0 {
		facts = append(facts, "a call needs "+amount(math.Ceil(known.Each)))
	}
	return facts
}

// unitText names what a bucket counts, if that is not calls.
func unitText(unit string) string {
	if unit == "" || unit == "requests" {
		return ""
	}
	return " " + unit
}

// shapeText says how a bucket comes back, and when.
func shapeText(known *policy.LearnedStatus) string {
	back := ""
	if known.Reset != nil {
		back = " in " + remaining(*known.Reset) + " (" + known.Reset.Local().Format(time.TimeOnly) + ")"
	}
	switch known.Shape {
	case "rolling":
		return "each is back after " + shortDuration((time.Duration(known.Window * float64(time.Second))).String())
	case "bucket":
		text := "refills"
		if known.Each > 0 && known.Window > 0 {
			text += " by " + amount(known.Limit/known.Window) + " a second"
		}
		if back == "" {
			return text
		}
		return text + ", full" + back
	}
	if back == "" {
		return "back as a whole"
	}
	return "all back" + back
}

// amount is a number of units, whole or not.
func amount(units float64) string { return fmt.Sprint(math.Round(units*10) / 10) }

// lineState tells of the classes where not all that wait are in the normal one.
func lineState(waiting int, line policy.Line) string {
	text := fmt.Sprintf("%d waiting", waiting)
	if waiting != line.Normal {
		text += " (" + line.String() + ")"
	}
	return text
}

func until(label string, t *time.Time) string {
	if t == nil {
		return ""
	}
	return label + remaining(*t)
}

// remaining is the time until t, as fine as a person can use it.
func remaining(t time.Time) string {
	left := time.Until(t)
	if left >= time.Minute {
		return left.Round(time.Second).String()
	}
	return left.Round(100 * time.Millisecond).String()
}

// forecastText says what a call would meet at a quota.
func forecastText(q policy.QuotaForecast) string {
	text := q.Key + ", " + q.Limit
	if q.Bucket != "" {
		text = strings.Join(append([]string{quotaTitle(q.QuotaStatus)}, bucketFacts(q.QuotaStatus)...), ", ")
	}
	if q.Cost > 1 {
		text += fmt.Sprintf(" (it costs %d)", q.Cost)
	}
	return text + ": " + turnText(q)
}

func turnText(q policy.QuotaForecast) string {
	turn := "a turn at once"
	switch {
	case q.Wait > 0:
		turn = fmt.Sprintf("a turn in %.3f s", q.Wait)
	case q.Why != "":
		turn = "a turn when another has its answer"
	}
	if line := q.Line.String(); line != "" {
		turn += ", " + line + " waiting"
	}
	return turn
}
