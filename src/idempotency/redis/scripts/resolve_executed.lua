-- ARGV: nonce, keep, then the answer
if not is_owned() or not is_open_question(record) then return {'fenced'} end
complete(record, false, ARGV[2], 3)
return {'done'}
