package cli

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quietZone is the white frame a scanner needs, in modules.
const quietZone = 2

// printQR draws text as a QR code. Colours are set where they can be, since a
// scanner wants dark on light whatever the terminal's own are.
func (a *app) printQR(text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("drawing the QR code: %w", err)
	}
	for _, line := range qrLines(code.Size, code.Black, a.look.unicode) {
		if a.look.color {
			line = "\x1b[30;107m" + line + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}

// qrLines draws two rows of modules per line with half blocks, or two columns
// per module where the terminal has ASCII only. Ink is dark; a terminal
// without colours that is light on dark shows the negative, which scanners
// read too.
func qrLines(size int, black func(x, y int) bool, unicode bool) []string {
	var lines []string
	step := 2
	if !unicode {
		step = 1
	}
	for y := -quietZone; y < size+quietZone; y += step {
		var b strings.Builder
		for x := -quietZone; x < size+quietZone; x++ {
			up, down := black(x, y), black(x, y+1)
			switch {
			case !unicode && up:
				b.WriteString("##")
			case !unicode:
				b.WriteString("  ")
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}
