package accesslog

import (
	"fmt"
	"strings"
	"time"
)

// timeFormat is how both formats write a time, as package time would state it. English names of months are part of it.
const timeFormat = "02/Jan/2006:15:04:05 -0700"

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// parseTime reads a time. It does what time.Parse does, in a tenth of the time, and gives UTC; a leap second is the next minute's
// first one.
func parseTime(s string) (time.Time, error) {
	day, ok := digits(s[0:2])
	month := strings.Index(months, s[3:6])
	year, ok2 := digits(s[7:11])
	hour, ok3 := digits(s[12:14])
	minute, ok4 := digits(s[15:17])
	second, ok5 := digits(s[18:20])
	zoneHour, ok6 := digits(s[22:24])
	zoneMinute, ok7 := digits(s[24:26])
	ok = ok && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && month >= 0 && month%3 == 0 &&
		s[2] == '/' && s[6] == '/' && s[11] == ':' && s[14] == ':' && s[17] == ':' && s[20] == ' ' && (s[21] == '+' || s[21] == '-')
	if !ok || hour > 23 || minute > 59 || second > 60 || zoneHour > 23 || zoneMinute > 59 {
		return time.Time{}, fmt.Errorf("the time %q is not like %s", s, timeFormat)
	}
	if day == 0 || day > 28 && int(day) > time.Date(int(year), time.Month(month/3+2), 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}, fmt.Errorf("the time %q is on a day that its month does not have", s)
	}
	t := time.Date(int(year), time.Month(month/3+1), int(day), int(hour), int(minute), int(second), 0, time.UTC)
	zone := time.Duration(zoneHour)*time.Hour + time.Duration(zoneMinute)*time.Minute
	if s[21] == '+' {
		zone = -zone
	}
	return t.Add(zone), nil
}
