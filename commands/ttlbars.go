package commands

import (
	"strings"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/commands/render"
)

// ttlText says a histogram in a line, without its empty bars: "none 300  <1h 20".
func ttlText(h *analyze.TTLs) string {
	var bars []string
	for _, bar := range h.Buckets() {
		if bar.Keys > 0 {
			bars = append(bars, bar.Name+" "+render.Int(bar.Keys).Text)
		}
	}
	return strings.Join(bars, "  ")
}

// ttlCellOf is a histogram as a line for people, with from behind it, and as an object
// of all bars for programs.
func ttlCellOf(h *analyze.TTLs, from string) render.Cell {
	bars := make(map[string]any)
	for _, bar := range h.Buckets() {
		bars[bar.Name] = bar.Keys
	}
	text := "no keys"
	if h.Keys() > 0 {
		text = ttlText(h) + "  (" + from + ")"
	}
	return render.Cell{Text: text, Value: bars}
}
