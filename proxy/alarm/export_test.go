package alarm

import "outrider/proxy/alert"

// CircuitOpen is the rule of a circuit that is open.
var CircuitOpen = circuitOpen

// Book is what knows the alerts that last.
func (a *Alarms) Book() *alert.Book { return a.book }
