package source

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// many writes n lines.
func many(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

// measure reads an input of 100,000 small records over and over.
func measure(b *testing.B, input string, read func(r io.Reader) Stream) {
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, err := range read(strings.NewReader(input)) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

const benchRecords = 100_000

func BenchmarkRecords(b *testing.B) {
	input := many(benchRecords, func(i int) string {
		return fmt.Sprintf("{\"key\":\"user:%d:profile\",\"value\":\"value of number %d\"}\n", i, i)
	})
	measure(b, input, func(r io.Reader) Stream { return NDJSON(r, nil, Options{}) })
}

func BenchmarkRecordsWithTTL(b *testing.B) {
	input := many(benchRecords, func(i int) string {
		return fmt.Sprintf("{\"key\":\"user:%d:profile\",\"type\":\"hash\",\"value\":{\"name\":\"Ann %d\",\"n\":1},\"ttl\":3600}\n", i, i)
	})
	measure(b, input, func(r io.Reader) Stream { return NDJSON(r, nil, Options{}) })
}

func BenchmarkRows(b *testing.B) {
	input := many(benchRecords, func(i int) string {
		return fmt.Sprintf("{\"id\":%d,\"name\":\"Ann %d\",\"mail\":\"ann%d@example.com\",\"tags\":[\"a\",\"b\"],\"life\":60}\n", i, i, i)
	})
	m := Mapping{Key: "user:{id}:profile"}
	measure(b, input, func(r io.Reader) Stream { return NDJSON(r, &m, Options{}) })
}

func BenchmarkCSV(b *testing.B) {
	input := "id,name,mail\n" + many(benchRecords, func(i int) string { return fmt.Sprintf("%d,Ann %d,ann%d@example.com\n", i, i, i) })
	m := Mapping{Key: "user:{id}:profile", Value: "mail"}
	measure(b, input, func(r io.Reader) Stream { return CSV(r, m, CSVOptions{}, Options{}) })
}

func BenchmarkCSVQuotedRows(b *testing.B) {
	input := "id,name,mail\n" + many(benchRecords, func(i int) string { return fmt.Sprintf("%d,\"Ann, %d\",ann%d@example.com\n", i, i, i) })
	m := Mapping{Key: "user:{id}:profile"}
	measure(b, input, func(r io.Reader) Stream { return CSV(r, m, CSVOptions{}, Options{}) })
}

func BenchmarkRESP(b *testing.B) {
	input := many(benchRecords, func(i int) string {
		return wire("SET", fmt.Sprintf("user:%d:profile", i), fmt.Sprintf("value of number %d", i))
	})
	measure(b, input, func(r io.Reader) Stream { return RESP(r, RESPOptions{}, Options{}) })
}

func BenchmarkRESPLines(b *testing.B) {
	input := many(benchRecords, func(i int) string { return fmt.Sprintf("SET user:%d:profile \"value of number %d\"\n", i, i) })
	measure(b, input, func(r io.Reader) Stream { return RESP(r, RESPOptions{}, Options{}) })
}

// BenchmarkByHeat sorts 100,000 items in memory, and by way of a file.
func BenchmarkByHeat(b *testing.B) {
	items := randomItems(benchRecords, 100)
	for name, memory := range map[string]int64{"memory": 0, "file": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				for range ByHeat(streamOf(items, nil), OrderOptions{Memory: memory, Dir: b.TempDir()}) {
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
