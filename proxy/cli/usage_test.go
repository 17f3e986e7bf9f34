package cli

import (
	"net"
	"strings"
	"testing"
)

// Who mistypes a command is told which one was meant, as who mistypes a key of the
// configuration, and scripts see that nothing was tried: at the top it was exit code 1, as of
// something that failed. What stands behind a command that takes nothing is no command.
func TestMistypedCommandIsToldAsAKeyIs(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"statsu"}, `outrider has no command "statsu"; did you mean "status"?`},
		{[]string{"outbox", "lst"}, `outrider outbox has no command "lst"; did you mean "list"?`},
		{[]string{"frobnicate"}, `outrider has no command "frobnicate"; outrider --help shows those that there are`},
		{[]string{"status", "demo"}, `outrider status takes no arguments: "demo"; usage: outrider status [flags]`},
		{[]string{"circuit", "open"}, `accepts 1 arg(s), received 0; usage: outrider circuit open UPSTREAM [flags]`},
	} {
		if code, out, problems := invoke(t, c.args...); code != exitUsage || out != "" || problems != "outrider: "+c.want+"\n" {
			t.Errorf("%q ends with %d: %s%s", c.args, code, out, problems)
		}
	}
}

// The simulator and another program wanted one port, and the error named no way out.
func TestSimulatorNamesTheFlagOfAnAddressInUse(t *testing.T) {
	other, err := net.Listen("tcp", freePort)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	address := other.Addr().String()
	code, _, problems := invoke(t, "simulate", "--listen", address)
	if code != exitFailed || !strings.Contains(problems, "opening --listen "+address+": ") {
		t.Errorf("it ends with %d: %s", code, problems)
	}
}
