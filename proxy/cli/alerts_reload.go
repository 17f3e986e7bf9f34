package cli

import (
	"strings"

	"outrider/proxy/alert"
)

// reloadRefused is a configuration on disk that is not the one in force.
var reloadRefused = alert.Rule{Name: "reload-refused", Severity: alert.Warning}

// reloaded learns how a reload has ended.
func (a *alarms) reloaded(err error) {
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
