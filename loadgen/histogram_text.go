package loadgen

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	maxText  = 512 << 10 // of a histogram as text; every bucket filled with large counts takes less
	maxCount = 1 << 48   // of all buckets: ten million a second for 300 days, and 30,000 such still add up
)

// MarshalText is HdrHistogram's V2 compressed encoding in base64, as every HdrHistogram
// library reads it; empty where nothing was counted.
func (h Histogram) MarshalText() ([]byte, error) {
	if h.Count() == 0 {
		return []byte{}, nil
	}
	text, err := h.packed().Encode()
	if err != nil {
		return nil, fmt.Errorf("encode histogram: %w", err)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote: the Histogram is then packed, and exactly what it
// was. What is torn or has another geometry is refused, and never takes more
// memory than a Histogram does.
func (h *Histogram) UnmarshalText(text []byte) error {
	*h = Histogram{}
	if len(text) == 0 {
		return nil
	}
	p, err := decode(text)
	if err != nil {
		return fmt.Errorf("read histogram: %w", err)
	}
	if p.TotalCount() > 0 {
		h.p = p
	}
	return nil
}

func decode(text []byte) (*hdr.PackedHistogram, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%d bytes of text: none is longer than %d", len(text), maxText)
	}
	if err := checkGeometry(text); err != nil {
		return nil, err
	}
	p, err := hdr.DecodePacked(text)
	if err != nil {
		return nil, err
	}
	left := int64(maxCount)
	for _, count := range p.ForEachBucket {
		if left -= count; left < 0 {
			return nil, fmt.Errorf("it counts more than %d", int64(maxCount))
		}
	}
	if p.Max() > 2*int64(Longest) {
		return nil, fmt.Errorf("it holds %v: the longest is %v", time.Duration(p.Max()), Longest)
	}
	return p, nil
}

// checkGeometry looks into the header before anything is made from it: the geometry decides
// how much memory the rest may take. Behind a cookie and a length of 4 bytes each comes a zlib
// stream; in it cookie, length, offset, digits (4 bytes each), lowest and highest value (8 each).
func checkGeometry(text []byte) error {
	packed, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(packed) < 8 {
		return errors.New("it is no histogram, or torn")
	}
	z, err := zlib.NewReader(bytes.NewReader(packed[8:]))
	if err != nil {
		return errors.New("it is no histogram, or torn")
	}
	var header [hdr.ENCODING_HEADER_SIZE]byte
	if _, err := io.ReadFull(z, header[:]); err != nil {
		return errors.New("it is torn")
	}
	digits, low, high := binary.BigEndian.Uint32(header[12:]), binary.BigEndian.Uint64(header[16:]), binary.BigEndian.Uint64(header[24:])
	if digits != fine && digits != coarse || low != finest || high != uint64(Longest) {
		return fmt.Errorf("its values go from %d to %d with %d digits: not one of ours", low, high, digits)
	}
	return nil
}

// Hgrm writes the distribution by percentile in the text form that HdrHistogram's plotters read
// (.hgrm), five lines for each half of what is left. unit is what values are told in: a
// millisecond is what the plotters expect.
func (h *Histogram) Hgrm(w io.Writer, unit time.Duration) error {
	var b bytes.Buffer
	scale := 1 / float64(unit)
	fmt.Fprintf(&b, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	for s := range h.Spectrum() {
		if s.Q < 1 {
			fmt.Fprintf(&b, "%12.3f %2.12f %10d %14.2f\n", float64(s.At)*scale, math.Nextafter(s.Q, 2), s.Count, 1/(1-s.Q)) // Java rounds half up
		} else {
			fmt.Fprintf(&b, "%12.3f %2.12f %10d\n", float64(s.At)*scale, s.Q, s.Count)
		}
	}
	p := h.packed()
	mean, dev, most := p.Mean(), p.StdDev(), float64(h.Max())
	fmt.Fprintf(&b, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean*scale, dev*scale)
	fmt.Fprintf(&b, "#[Max     = %12.3f, Total count    = %12d]\n", most*scale, h.Count())
	fmt.Fprintf(&b, "#[Buckets = %12d, SubBuckets     = %12d]\n", h.doublings(), 1<<h.bits())
	_, err := w.Write(b.Bytes())
	return err
}

// A Step is a point of a distribution: Count durations, the share Q or more, are no longer than At.
type Step struct {
	At    time.Duration
	Q     float64
	Count uint64
}

const ticksPerHalf = 5 // as HdrHistogram's tools have it

// Spectrum is the distribution by percentile as HdrHistogram iterates over it (PercentileIterator): the
// steps are halved each time the distance to 100 % is. The last one is the maximum, at 1.
func (h *Histogram) Spectrum() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		total, sofar, level := float64(h.Count()), uint64(0), 0.0
		for at, count := range h.Buckets() {
			for sofar += count; level <= 100*float64(sofar)/total; {
				if !yield(Step{at, level / 100, sofar}) {
					return
				}
				if sofar == uint64(total) {
					yield(Step{at, 1, sofar})
					return
				}
				half := math.Pow(2, math.Floor(math.Log2(100/(100-level)))+1)
				level += 100 / (ticksPerHalf * half)
			}
		}
	}
}
