# What a server says of itself, and a replica says otherwise than its primary although it holds the same.

# CREATE TABLE ... SELECT reaches a replica with the collations written out, and it shows them so: those that are the
# character set's own say nothing.
s/CHARACTER SET (latin1) COLLATE latin1_swedish_ci/CHARACTER SET \1/g
s/CHARACTER SET (latin2|cp1250|cp1251|utf8mb3|ucs2|utf16|utf32|cp866|koi8r|cp850|cp852|ascii|latin5|latin7|greek|hebrew|armscii8|geostd8|macce|macroman|keybcs2|utf16le|cp1256|cp1257) COLLATE \1_general_ci/CHARACTER SET \1/g
s/CHARACTER SET (big5|gbk|gb2312|gb18030) COLLATE \1_chinese_ci/CHARACTER SET \1/g
s/CHARACTER SET (sjis|ujis|cp932|eucjpms) COLLATE \1_japanese_ci/CHARACTER SET \1/g
s/CHARACTER SET (euckr) COLLATE euckr_korean_ci/CHARACTER SET \1/g
s/CHARACTER SET (utf8mb4) COLLATE utf8mb4_0900_ai_ci/CHARACTER SET \1/g
s/CHARACTER SET (tis620) COLLATE tis620_thai_ci/CHARACTER SET \1/g
s/CHARACTER SET (latin5) COLLATE latin5_turkish_ci/CHARACTER SET \1/g
s/CHARACTER SET ([a-z0-9]+) COLLATE \1_/COLLATE \1_/g
