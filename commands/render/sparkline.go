package render

import "math"

var sparks = []rune("▁▂▃▄▅▆▇█")

// Sparkline draws the last width values as a line of bars, one cell each, from 0 to the highest of
// them. What is not finite is a blank.
func Sparkline(values []float64, width int) string {
	values = values[max(len(values)-max(width, 0), 0):]
	most := 0.0
	for _, v := range values {
		if finite(v) {
			most = max(most, v)
		}
	}
	out := make([]rune, len(values))
	for i, v := range values {
		switch {
		case !finite(v):
			out[i] = ' '
		case most == 0:
			out[i] = sparks[0]
		default:
			out[i] = sparks[int(math.Round(max(v, 0)/most*float64(len(sparks)-1)))]
		}
	}
	return string(out)
}
