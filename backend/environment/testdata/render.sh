export PLAIN='a'
export QUOTES='it'\''s "x" $HOME `id` \'
export LINES='a
b'
export EMPTY=''
export YES='yes'
export NUMBER='007'
export UNICODE='ü&<'
left out dotted.name: a shell can't hold a variable of that name
left out ZERO: no program can have a variable with a zero byte in it
