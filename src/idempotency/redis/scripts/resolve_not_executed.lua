-- ARGV: nonce
if not is_owned() or not is_open_question(record) then return {'fenced'} end
record.amb = false
let_go(record)
return {'done'}
