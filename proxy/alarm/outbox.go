package alarm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
)

// lettersDead are calls that were accepted and will not be made, unless somebody says so.
var lettersDead = alert.Rule{Name: "letters-dead", Severity: alert.Critical}

// lettersDamaged are letters that cannot be read: what the store gave back is not what was put
// into it.
var lettersDamaged = alert.Rule{Name: "letters-damaged", Severity: alert.Critical}

// lettersLate are letters that will soon be too old to be sent.
var lettersLate = alert.Rule{Name: "letters-late", Severity: alert.Warning}

// outboxFilling is an outbox that will soon take nothing more.
var outboxFilling = alert.Rule{Name: "outbox-filling", Severity: alert.Warning}

// outboxAway is an outbox that takes and sends nothing, for its store cannot be used, or one
// that takes nothing, for its store cannot be written to. A database that is started again is
// away for a moment.
var outboxAway = alert.Rule{Name: "outbox-away", Severity: alert.Critical, Least: 2}

var outboxRules = []alert.Rule{lettersDead, lettersDamaged, lettersLate, outboxFilling, outboxAway}

const (
	// lateShare is the part of their max_age that the oldest letters have waited for when
	// somebody is told: half a day, by default, is left to find out why.
	lateShare = 0.5
	// fillingShare is how full an outbox is when somebody is told, and emptyingShare how full
	// when it is over: one that is about as full as that would be told of again and again.
	fillingShare, emptyingShare = 0.8, 0.7
)

// An Outbox is what is known of the letters that are kept.
type Outbox struct {
	Err      error  // why nothing is known; nil: it is
	Refusing string // why letters are refused; "": they are kept
	Bytes    int64  // that they take
	Most     int64  // that they may take
	MaxAge   time.Duration
	Letters  []Letters // a value for each upstream
}

// Letters are those of an upstream.
type Letters struct {
	Upstream string
	Waiting  int
	Oldest   time.Duration  // how long the oldest of these has waited
	Dead     map[string]int // reason → letters
}

// damaged is the reason of letters that cannot be read.
const damaged = "damaged"

// An outboxLook tells of letters that are not sent, and of an outbox that takes none.
type outboxLook struct {
	book   *alert.Book
	outbox func(anew bool) (Outbox, bool)
	raised map[raisedAlert]bool // by the look before
}

type raisedAlert struct{ rule, subject string }

// An outboxTrouble is something to tell of an outbox.
type outboxTrouble struct {
	rule alert.Rule
	alert.Trouble
}

func (t outboxTrouble) alert() raisedAlert { return raisedAlert{t.rule.Name, t.Subject} }

// look asks anew before there is an alert: what was known may be of letters that somebody has
// dropped since, or has had sent again.
func (l *outboxLook) look(_ []policy.UpstreamStatus, _ time.Time) {
	outbox, used := l.outbox(false)
	found := l.find(outbox, used)
	if slices.ContainsFunc(found, func(t outboxTrouble) bool { return !l.raised[t.alert()] }) {
		outbox, used = l.outbox(true)
		found = l.find(outbox, used)
	}
	now := make(map[raisedAlert]bool)
	if used && outbox.Err != nil {
		maps.Copy(now, l.raised) // of which it is not known that it is over
	}
	for _, t := range found {
		now[t.alert()] = true
		l.book.Raise(t.rule, t.Trouble)
	}
	for before := range l.raised {
		if !now[before] {
			l.book.Resolve(before.subject, outboxRule(before.rule))
		}
	}
	l.raised = now
}

// find lists what there is to tell of an outbox.
func (l *outboxLook) find(outbox Outbox, used bool) (found []outboxTrouble) {
	raise := func(rule alert.Rule, t alert.Trouble) { found = append(found, outboxTrouble{rule, t}) }
	switch {
	case !used:
	case outbox.Err != nil:
		raise(outboxAway, awayTrouble(outbox.Err))
	default:
		if outbox.Refusing != "" {
			raise(outboxAway, refusingTrouble(outbox.Refusing))
		}
		l.filling(outbox, raise)
		for _, letters := range outbox.Letters {
			raiseLetters(letters, outbox.MaxAge, raise)
		}
	}
	return found
}

func outboxRule(name string) alert.Rule {
	return outboxRules[slices.IndexFunc(outboxRules, func(r alert.Rule) bool { return r.Name == name })]
}

func awayTrouble(err error) alert.Trouble {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return alert.Trouble{
		Subject: outboxSubject, Title: "The outbox cannot be used", Detail: first,
		Action: "See to the store (outrider store): until then no letter is taken (503 to those who bring one), and none is sent. None is lost.",
	}
}

func refusingTrouble(why string) alert.Trouble {
	first, _, _ := strings.Cut(why, "\n")
	return alert.Trouble{
		Subject: outboxSubject, Title: "The outbox refuses letters", Detail: first,
		Action: "See to the disk or the database: who brings a letter is answered 503. Those that are kept are sent, and none is lost. It is over with the first letter that is kept and as large, or with any where none was refused for 5 minutes, or when none was for an hour.",
	}
}

// filling tells of an outbox that is nearly full, until there is room again.
func (l *outboxLook) filling(outbox Outbox, raise func(alert.Rule, alert.Trouble)) {
	if outbox.Most <= 0 {
		return
	}
	share := float64(outbox.Bytes) / float64(outbox.Most)
	if share < emptyingShare || share < fillingShare && !l.raised[raisedAlert{outboxFilling.Name, outboxSubject}] {
		return
	}
	raise(outboxFilling, alert.Trouble{
		Subject: outboxSubject, Title: fmt.Sprintf("The outbox is %.0f %% full", 100*share),
		Detail: fmt.Sprintf("%s of %s; what comes when it is full is refused with 503", config.Size(outbox.Bytes), config.Size(outbox.Most)),
		Action: "Find out why letters stay (outrider outbox list), or raise outbox.max_size. Dead letters and answers take room, too: outrider outbox drop.",
	})
}

// raiseLetters tells of the letters of one upstream.
func raiseLetters(l Letters, maxAge time.Duration, raise func(alert.Rule, alert.Trouble)) {
	command := "outrider outbox list --upstream " + l.Upstream
	if n := l.Dead[damaged]; n > 0 {
		raise(lettersDamaged, alert.Trouble{
			Subject: marked(l.Upstream, lettersMark, "damaged"), Title: count(n, "letter") + " of " + l.Upstream + " cannot be read",
			Detail: "what is in the store is not what was put into it; the others are sent",
			Action: "See to the disk or the database, and have the calls made again where they came from. Then: outrider outbox drop --reason damaged --upstream " + l.Upstream + ".",
		})
	}
	if n, why := deadOf(l.Dead); n > 0 {
		raise(lettersDead, alert.Trouble{
			Subject: marked(l.Upstream, lettersMark, "dead"), Title: count(n, "dead letter") + " of " + l.Upstream,
			Detail: why,
			Action: "Look at them (" + command + " --state dead), and have them sent again, changed or dropped: outrider outbox retry, edit, drop.",
		})
	}
	if late := time.Duration(lateShare * float64(maxAge)); l.Waiting > 0 && maxAge > 0 && l.Oldest >= late {
		raise(lettersLate, alert.Trouble{
			Subject: marked(l.Upstream, lettersMark, "late"), Title: "Letters of " + l.Upstream + " have waited for " + config.Duration(l.Oldest.Round(time.Minute)).String(),
			Detail: fmt.Sprintf("%s; those that are %s old are dead", count(l.Waiting, "letter")+" waiting", config.Duration(maxAge)),
			Action: "Find out what they wait for: " + command + " --state waiting, outrider status.",
		})
	}
}

// deadOf counts the dead that can be read, and says why they are dead, what is most first.
func deadOf(dead map[string]int) (n int, why string) {
	reasons := slices.SortedFunc(maps.Keys(dead), func(a, b string) int {
		if dead[a] != dead[b] {
			return dead[b] - dead[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, reason := range reasons {
		if reason == damaged || dead[reason] == 0 {
			continue
		}
		n += dead[reason]
		parts = append(parts, fmt.Sprintf("%d %s", dead[reason], deadText(reason)))
	}
	return n, strings.Join(parts, ", ")
}

// deadText says in words why letters are dead.
func deadText(reason string) string {
	switch reason {
	case "refused":
		return "refused by the provider"
	case "redirected":
		return "answered with a redirect"
	case "age":
		return "older than outbox.max_age"
	case "attempts":
		return "tried outbox.attempts times"
	case "key-age":
		return "whose idempotency key is too old"
	case "unknown":
		return "that may have been done"
	case "unsendable":
		return "that cannot be sent as they are"
	}
	return reason
}
