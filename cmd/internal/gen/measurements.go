package gen

import (
	_ "embed"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	stationCount   = 413
	maxStation     = 32  // bytes of a name with its semicolon
	maxTenths      = 999 // of a degree, either way
	maxValue       = 8   // bytes of a temperature, its line end and the length
	maxMeasurement = maxStation + maxValue
)

// Cities by their mean temperature in °C, roughly.
//
//go:embed stations.txt
var stationList string

// stations are what lines of measurements are put together from.
type stations struct {
	names  [stationCount][maxStation]byte  // with the semicolon
	sizes  [stationCount]uint8             // of names
	means  [stationCount]int16             // tenths of a degree
	values [2*maxTenths + 1][maxValue]byte // "-12.3\n" for each temperature, and the length in the last byte
}

func newStations() *stations {
	s := new(stations)
	i := 0
	for line := range strings.Lines(stationList) {
		mean, names, _ := strings.Cut(strings.TrimSpace(line), ": ")
		degrees, err := strconv.Atoi(mean)
		if err != nil {
			panic(err) // the list is part of this package
		}
		for _, name := range strings.Split(names, ", ") {
			s.sizes[i] = uint8(copy(s.names[i][:], name+";"))
			s.means[i] = int16(10 * degrees)
			i++
		}
	}
	for v := range s.values {
		tenths := v - maxTenths
		b := s.values[v][:0]
		if tenths < 0 {
			b, tenths = append(b, '-'), -tenths
		}
		b = strconv.AppendInt(b, int64(tenths/10), 10)
		s.values[v][maxValue-1] = byte(len(append(b, '.', '0'+byte(tenths%10), '\n')))
	}
	return s
}

// fill takes 64 random bits a line: 16 choose the station, and the sum of three numbers of 16 is close enough to a normal
// distribution; it deviates by 10 °C from the mean, and by 30 at the most.
func (s *stations) fill(dst []byte, _ int64, rnd *rand.PCG) int {
	at := 0
	for len(dst)-at >= maxMeasurement {
		bits := rnd.Uint64()
		i := uint64(uint16(bits)) * stationCount >> 16
		*(*[maxStation]byte)(dst[at:]) = s.names[i]
		at += int(s.sizes[i])
		sum := int(bits>>16&0xffff) + int(bits>>32&0xffff) + int(bits>>48)
		value := &s.values[int(s.means[i])+(sum-3<<15)*100>>15+maxTenths]
		*(*[maxValue]byte)(dst[at:]) = *value
		at += int(value[maxValue-1])
	}
	return at
}
