package soundness
import ("testing";"time";"os")
type statement struct{text, source string; hostile bool}
func TestTry(t *testing.T){
 w:=makeWorld(t)
 t0:=time.Now()
 s:=w.sqlsmith(t,2000,1)
 t.Log(len(s),time.Since(t0))
 f,_:=os.Create("/tmp/smith.txt")
 for _,x:=range s{f.WriteString(x.text+"\n=====\n")}
 f.Close()
 _ = value
 _ = soak
 _ = seed
}
