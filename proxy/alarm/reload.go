package alarm

import (
	"strings"

	"outrider/proxy/alert"
)

// ReloadRefused is the name of the rule about a configuration on disk that was refused. Who
// shows how the last reload ended has all of that already.
const ReloadRefused = "reload-refused"

// reloadRefused is a configuration on disk that is not the one in force.
var reloadRefused = alert.Rule{Name: ReloadRefused, Severity: alert.Warning}

// Reloaded learns how a reload has ended; nil: well.
func (a *Alarms) Reloaded(err error) {
	if err == nil {
		a.book.Resolve(configurationSubject, reloadRefused)
		return
	}
	faults := strings.Split(err.Error(), "\n")
	detail := faults[0]
	if more := len(faults) - 1; more > 0 {
		detail += " (and " + count(more, "more fault") + ")"
	}
	a.book.Raise(reloadRefused, alert.Trouble{
		Subject: configurationSubject, Title: "The configuration on disk was refused", Detail: detail,
		Action: "Mend it (outrider check says all that is wrong); the one before is in force until then.",
	})
}
