package cli

import (
	"fmt"
	"strconv"
	"strings"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// callLine tells of a call in one line:
//
//	20:09:13.123  200   340ms  crm       GET /v1/contacts  (2 attempts, waited 1.25s)
func callLine(p paint, r *telemetry.Record) string {
	line := fmt.Sprintf("%s  %s  %s  %-12s  %s",
		p.style(styleFaint, r.Time.Local().Format("15:04:05.000")),
		p.style(callStyle(r), fmt.Sprintf("%4s", callStatus(r))),
		fmt.Sprintf("%7s", roughly(r.DurationMS)),
		callUpstream(r), printable(r.Method+" "+callTarget(r)))
	if notes := callNotes(r); len(notes) > 0 {
		line += "  " + p.style(styleFaint, "("+strings.Join(notes, ", ")+")")
	}
	return line
}

// callStyle is how much attention a call deserves.
func callStyle(r *telemetry.Record) string {
	switch {
	case r.Class == policy.ClassClientGone:
		return styleFaint
	case r.Status >= 500 || r.Status == 0 || r.Problem != "" || r.Quiet != "" && r.Class == policy.ClassFault:
		return styleBad
	case r.Status >= 400 || r.Stale != "" || r.Quiet != "":
		return styleWarn
	}
	return styleGood
}

func callStatus(r *telemetry.Record) string {
	switch {
	case r.Class == policy.ClassClientGone:
		return "gone"
	case r.Status == 0:
		return "none"
	}
	return strconv.Itoa(r.Status)
}

func callUpstream(r *telemetry.Record) string {
	switch {
	case r.Upstream != "":
		return r.Upstream
	case r.Form == "connect":
		return "(tunnel)"
	}
	return "(none)"
}

// callTarget is the path of a call, with the host where no upstream says it.
func callTarget(r *telemetry.Record) string {
	switch {
	case r.Form == "connect":
		return r.Host
	case r.Upstream == "":
		return r.Host + r.Path
	case r.Path == "":
		return "/"
	}
	return r.Path
}

// callNotes are what is worth telling of a call beside its status.
func callNotes(r *telemetry.Record) []string {
	var notes []string
	note := func(is bool, format string, args ...any) {
		if is {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	note(r.Problem != "", "%s", r.Problem)
	note(r.Attempts > 1, "%d attempts", r.Attempts)
	note(r.WaitedMS >= 1, "waited %s", roughly(r.WaitedMS))
	note(r.Connection != "", "for %s", printable(r.Connection))
	note(r.Quiet != "", "%s", printable(r.Quiet))
	note(r.Stale != "", "an old answer: %s", r.Stale)
	note(r.Error != "" && r.Error != r.Problem, "%s", printable(r.Error))
	return notes
}

// roughly writes a duration of so many milliseconds, as fine as a person can use it.
func roughly(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0fms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.2fs", ms/1000)
	}
	return fmt.Sprintf("%.1fs", ms/1000)
}
