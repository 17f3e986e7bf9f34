package alarm

import (
	"fmt"
	"math"
)

// count says how many there are of something whose plural has an s.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// amount says how many units of a quota there are.
func amount(units float64) string { return fmt.Sprint(math.Round(units*10) / 10) }
